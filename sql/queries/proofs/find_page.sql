-- The page of a checkpoint that has a user, if any has ($1 number, $2 user).
SELECT page, leaves FROM pedro_ledger.checkpoint_page
WHERE checkpoint = $1 AND first_user_id <= $2
ORDER BY first_user_id DESC LIMIT 1
