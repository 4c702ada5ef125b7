-- Whether there is a role of this name.
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)
