-- A Clerk id can move from one user to another. Whoever decided an operation by where it belonged before must not commit it: the
-- revision of the account that loses its Clerk id moves, far beyond what commits move it by, so that it can be told apart.

-- Users whose account's revision is to move at the end of the transaction that adds them; nobody else ever sees a row. A detour:
-- the deferred trigger is on this table, because Prisma's `db push` breaks down where one of the app's own tables has one.
CREATE TABLE pedro_ledger.clerk_move (
    user_id text NOT NULL
);

CREATE FUNCTION pedro_ledger.note_clerk_move() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO pedro_ledger.clerk_move (user_id) VALUES (NEW."id");
    RETURN NULL;
END
$$;

CREATE TRIGGER new_clerk_id_moves_the_revision AFTER UPDATE ON public."User"
    FOR EACH ROW WHEN (OLD."clerkId" IS DISTINCT FROM NEW."clerkId") EXECUTE FUNCTION pedro_ledger.note_clerk_move();

-- At the end of the transaction and not earlier, so that an app that keeps it open holds no lock of the ledger meanwhile. A user
-- without an account needs nothing: adopting it waits for this transaction, and is done by where the Clerk id belongs afterwards.
CREATE FUNCTION pedro_ledger.follow_clerk_move() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer text := current_setting('pedro_ledger.writer', true);
    books text := current_setting('pedro_ledger.books', true);
BEGIN
    DELETE FROM pedro_ledger.clerk_move WHERE user_id = NEW.user_id;
    IF FOUND THEN
        PERFORM set_config('pedro_ledger.writer', 'on', true), set_config('pedro_ledger.books', '2', true);
        UPDATE pedro_ledger.account SET revision = revision + 1099511627776 WHERE user_id = NEW.user_id; -- 2^40
        PERFORM set_config('pedro_ledger.writer', coalesce(writer, ''), true), set_config('pedro_ledger.books', coalesce(books, ''), true);
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER clerk_move_moves_the_revision AFTER INSERT ON pedro_ledger.clerk_move
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pedro_ledger.follow_clerk_move();
