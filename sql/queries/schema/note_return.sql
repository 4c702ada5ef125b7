-- The guards are back, and accounts up to the user $1 agree with the app again.
UPDATE pedro_ledger.departure SET are_guards_back = true, after_user_id = $1
