-- Remember the statements ($1) that put the guards back.
INSERT INTO pedro_ledger.departure (left_at, statements) VALUES (now(), $1)
