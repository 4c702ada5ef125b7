-- The roots of a checkpoint's pages, in order ($1 number).
SELECT root FROM pedro_ledger.checkpoint_page WHERE checkpoint = $1 ORDER BY page
