-- The checkpoints whose sealed accounts are kept, oldest first.
SELECT number, line FROM pedro_ledger.checkpoint
WHERE EXISTS (SELECT FROM pedro_ledger.checkpoint_page WHERE checkpoint_page.checkpoint = checkpoint.number)
ORDER BY number
