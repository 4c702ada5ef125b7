-- Have the statement that grants find its role ($1 name), until the transaction ends; the name as it is written in SQL.
SELECT quote_ident(set_config('pedro_ledger.app_role', $1, true))
