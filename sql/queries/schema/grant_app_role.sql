-- Give the role that the setting pedro_ledger.app_role names what serving needs, and take from it whatever else it had here.
DO $$
DECLARE
    app_role text := quote_ident(current_setting('pedro_ledger.app_role'));
    relation record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA public, pedro_ledger TO %s', app_role);
    EXECUTE format('REVOKE CREATE ON SCHEMA public, pedro_ledger FROM %s', app_role);
    FOR relation IN
        SELECT c.oid::regclass AS name, coalesce(needed.privileges, 'SELECT, INSERT, UPDATE, DELETE') AS privileges
        FROM pg_class AS c
        LEFT JOIN (VALUES
            -- The ledger: appended to, and its accounts moved on.
            ('pedro_ledger.entry', 'SELECT, INSERT'),
            ('pedro_ledger.account', 'SELECT, INSERT, UPDATE (plan_key, revision, seq, posted, held, open_items, due_at, head, updated_at)'),
            ('pedro_ledger.refusal', 'SELECT, INSERT, DELETE'),
            ('pedro_ledger.checkpoint', 'SELECT, INSERT'),
            ('pedro_ledger.api_key', 'SELECT, UPDATE (last_used_at)'),
            ('pedro_ledger.schema_migration', 'SELECT'),
            ('pedro_ledger.usage_while_away', 'SELECT'),
            ('pedro_ledger.departure', 'SELECT'),
            -- The app's tables.
            ('public."User"', 'SELECT, INSERT, UPDATE ("clerkId", "email", "name", "isActive", "updatedAt")'),
            ('public."CreditBalance"', 'SELECT, INSERT, UPDATE ("clerkUserId", "creditsRemaining", "lastSyncedAt", "updatedAt")'),
            ('public."UsageHistory"', 'SELECT, INSERT'),
            ('public."SubscriptionEvent"', 'SELECT, INSERT, UPDATE ("userId")'),
            ('public."Plan"', 'SELECT, INSERT, UPDATE'),
            ('public."AdminSettings"', 'SELECT, INSERT, UPDATE'),
            ('public."StorageObject"', 'SELECT, INSERT, UPDATE'),
            ('public."Feature"', 'SELECT, INSERT, UPDATE, DELETE')
        ) AS needed (name, privileges) ON to_regclass(needed.name) = c.oid
        -- A table of ours that is not named holds what the daemon works with: queues, rollups, deliveries.
        WHERE c.relkind IN ('r', 'p') AND (needed.name IS NOT NULL OR c.relnamespace = 'pedro_ledger'::regnamespace)
            AND NOT c.relispartition
        ORDER BY c.oid
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', relation.name, app_role);
        EXECUTE format('GRANT %s ON %s TO %s', relation.privileges, relation.name, app_role);
    END LOOP;
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA pedro_ledger TO %s', app_role);
END
$$
