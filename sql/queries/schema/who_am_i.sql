-- The role that this session acts as.
SELECT current_user::text
