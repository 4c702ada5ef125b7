-- The ledger is in use again.
DROP TRIGGER account_is_out_of_use ON pedro_ledger.account;
DROP TRIGGER entry_is_out_of_use ON pedro_ledger.entry;
DROP FUNCTION pedro_ledger.refuse_while_away();
DROP TABLE pedro_ledger.departure;
