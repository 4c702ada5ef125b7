-- Since when the ledger is out of use, and how far it has come back.
SELECT left_at, statements, are_guards_back, after_user_id FROM pedro_ledger.departure
