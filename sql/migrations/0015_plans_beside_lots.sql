-- Deriving a plan touches the account, which may have open lots and holds: this version knows them, and says so, as commits do.
-- Without it, a subscription event of a user with open lots could not be written, by the app or by the daemon.
CREATE OR REPLACE FUNCTION pedro_ledger.derive_plan(of_clerk_id text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer text := current_setting('pedro_ledger.writer', true);
    books text := current_setting('pedro_ledger.books', true);
    now_in_force record;
BEGIN
    PERFORM pedro_ledger.lock_plan(of_clerk_id); -- each statement from here on sees what was committed before
    SELECT * INTO now_in_force FROM pedro_ledger.plan_in_force(of_clerk_id);
    PERFORM set_config('pedro_ledger.writer', 'on', true), set_config('pedro_ledger.books', '2', true);
    UPDATE pedro_ledger.account AS a
    SET plan_id = now_in_force.plan_id, plan_key = now_in_force.plan_key, revision = a.revision + 1
    FROM public."User" AS u
    WHERE u."clerkId" = of_clerk_id AND a.user_id = u."id"
        AND (a.plan_id, a.plan_key) IS DISTINCT FROM (now_in_force.plan_id, now_in_force.plan_key);
    PERFORM set_config('pedro_ledger.writer', coalesce(writer, ''), true), set_config('pedro_ledger.books', coalesce(books, ''), true);
END
$$;
