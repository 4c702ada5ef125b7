-- The checkpoints' lines from number $1 on, oldest first.
SELECT line FROM pedro_ledger.checkpoint WHERE number >= $1 ORDER BY number
