-- The pages of a checkpoint's sealed accounts, in order ($1 number).
SELECT root, leaves FROM pedro_ledger.checkpoint_page WHERE checkpoint = $1 ORDER BY page
