-- Forgets the sealed accounts of all but the latest $1 checkpoints that have them.
DELETE FROM pedro_ledger.checkpoint_page
WHERE checkpoint <= (
    SELECT number FROM pedro_ledger.checkpoint
    WHERE EXISTS (SELECT FROM pedro_ledger.checkpoint_page WHERE checkpoint_page.checkpoint = checkpoint.number)
    ORDER BY number DESC OFFSET $1 LIMIT 1)
