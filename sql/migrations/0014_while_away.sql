-- What the app wrote into its history while the ledger was out of use (`pedro-ledger leave`): no entry stands behind these rows.
-- `pedro-ledger migrate` notes them when it brings the ledger back, so that any other row without an entry is still found.

CREATE TABLE pedro_ledger.usage_while_away (
    user_id  text NOT NULL,
    usage_id text NOT NULL,                           -- "UsageHistory"."id"
    CONSTRAINT usage_while_away_pkey PRIMARY KEY (user_id, usage_id)
);

CREATE TRIGGER usage_while_away_is_append_only BEFORE UPDATE OR DELETE ON pedro_ledger.usage_while_away
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: what was noted of the app''s own usage is immutable');
CREATE TRIGGER usage_while_away_is_not_truncated BEFORE TRUNCATE ON pedro_ledger.usage_while_away
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: what was noted of the app''s own usage is never truncated');
CREATE TRIGGER usage_while_away_comes_from_migrate BEFORE INSERT ON pedro_ledger.usage_while_away
    FOR EACH ROW WHEN (current_setting('pedro_ledger.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: the app''s own usage is noted by pedro-ledger migrate');
