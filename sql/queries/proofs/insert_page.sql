-- A page of a checkpoint's sealed accounts.
INSERT INTO pedro_ledger.checkpoint_page (checkpoint, page, first_user_id, root, leaves) VALUES ($1, $2, $3, $4, $5)
