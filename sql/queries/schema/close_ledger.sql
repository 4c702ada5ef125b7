-- Take the ledger out of use, until it comes back: whoever still serves cannot write any more, and is told why.
-- The table is there exactly while the ledger is out of use.
LOCK TABLE pedro_ledger.account IN EXCLUSIVE MODE;
CREATE TABLE pedro_ledger.departure (
    left_at         timestamptz(3) NOT NULL,
    statements      text[]         NOT NULL,          -- that put the guards back, in order
    are_guards_back boolean        NOT NULL DEFAULT false,
    after_user_id   text           NOT NULL DEFAULT '' -- how far the accounts were compared with what the app did
);
CREATE FUNCTION pedro_ledger.refuse_while_away() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pedro_ledger: the ledger is out of use since pedro-ledger leave; pedro-ledger migrate brings it back'
        USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;
CREATE TRIGGER account_is_out_of_use BEFORE INSERT OR UPDATE ON pedro_ledger.account
    FOR EACH STATEMENT WHEN (current_setting('pedro_ledger.returning', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse_while_away();
CREATE TRIGGER entry_is_out_of_use BEFORE INSERT ON pedro_ledger.entry
    FOR EACH STATEMENT WHEN (current_setting('pedro_ledger.returning', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse_while_away();
