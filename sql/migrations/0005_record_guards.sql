-- What is remembered beside the journal is guarded as the journal is: refusals, API keys, the record of migrations.

-- A refusal is an answer that was given: while its key may still be repeated, it stays what it was.
CREATE TRIGGER refusal_comes_from_the_daemon BEFORE INSERT ON pedro_ledger.refusal
    FOR EACH ROW WHEN (current_setting('pedro_ledger.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: refusals are remembered by the daemon');
CREATE TRIGGER refusal_is_immutable BEFORE UPDATE ON pedro_ledger.refusal
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: a refusal that was given is never changed');
CREATE TRIGGER refusal_is_kept_for_a_day BEFORE DELETE ON pedro_ledger.refusal
    FOR EACH ROW WHEN (OLD.created_at > now() - interval '1 day'
                       OR current_setting('pedro_ledger.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: refusals are forgotten by the daemon alone, after PEDRO_REFUSALS_KEPT_DAYS');
CREATE TRIGGER refusal_is_not_truncated BEFORE TRUNCATE ON pedro_ledger.refusal
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: refusals are never truncated');

-- Entries name the key that made them, so a key that was made stays known, under what it was.
CREATE TRIGGER api_key_stays BEFORE DELETE ON pedro_ledger.api_key
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: a key is never deleted; pedro-ledger keys revoke');
CREATE TRIGGER api_key_is_not_truncated BEFORE TRUNCATE ON pedro_ledger.api_key
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: keys are never truncated; pedro-ledger keys revoke');
CREATE TRIGGER api_key_keeps_its_name BEFORE UPDATE ON pedro_ledger.api_key
    FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id OR OLD.hash IS DISTINCT FROM NEW.hash
                       OR OLD.created_at IS DISTINCT FROM NEW.created_at
                       OR OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at)
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: a key stays what it is, and stays revoked; pedro-ledger keys rotate');

CREATE TRIGGER schema_migration_is_append_only BEFORE UPDATE OR DELETE ON pedro_ledger.schema_migration
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: the record of migrations is append-only');
CREATE TRIGGER schema_migration_is_not_truncated BEFORE TRUNCATE ON pedro_ledger.schema_migration
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: the record of migrations is never truncated');
