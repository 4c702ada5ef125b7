-- What became of credits that nobody spent, for reports: a row for each entry that lets credits expire, rolls them over, lets a hold
-- lapse, or could not collect all that was used. Nothing is noted of any other entry.

CREATE TABLE pedro_ledger.credit_outcome (
    user_id    text           NOT NULL,
    seq        bigint         NOT NULL,               -- of the entry
    outcome    text           NOT NULL,
    source     text,                                  -- of the grant that the credits came from
    credits    integer        NOT NULL,               -- of a lapse: what the hold still held
    created_at timestamptz(3) NOT NULL,
    CONSTRAINT credit_outcome_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT credit_outcome_known CHECK (outcome IN ('expired', 'rolled_over', 'lapsed', 'uncollected'))
);

CREATE INDEX credit_outcome_created_at_idx ON pedro_ledger.credit_outcome (created_at);

CREATE FUNCTION pedro_ledger.note_outcome() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO pedro_ledger.credit_outcome (user_id, seq, outcome, source, credits, created_at)
    SELECT NEW.user_id, NEW.seq, told.outcome,
        CASE WHEN told.outcome IN ('expired', 'rolled_over') THEN (
            SELECT CASE made.kind WHEN 'refund' THEN 'refund' ELSE made.source END FROM pedro_ledger.entry AS made
            WHERE made.user_id = NEW.user_id AND made.seq = NEW.related_seq) END,
        told.credits, NEW.created_at
    FROM (
        SELECT 'expired', -NEW.credits WHERE NEW.kind = 'expiry' AND NEW.credits < 0
        UNION ALL
        SELECT 'rolled_over', NEW.credits WHERE NEW.source = 'rollover'
        UNION ALL
        SELECT 'lapsed', -coalesce((NEW.effects::jsonb ->> 'held')::integer, 0) WHERE NEW.idempotency_key LIKE '§lapse:%'
        UNION ALL
        SELECT 'uncollected', (NEW.effects::jsonb ->> 'uncollected')::integer WHERE NEW.effects::jsonb ? 'uncollected'
    ) AS told (outcome, credits);
    RETURN NULL;
END
$$;

CREATE TRIGGER entry_outcome_is_reported AFTER INSERT ON pedro_ledger.entry
    FOR EACH ROW WHEN (NEW.kind = 'expiry' OR NEW.source = 'rollover'
                       OR (NEW.effects IS NOT NULL AND NEW.kind IN ('capture', 'void')
                           AND (NEW.idempotency_key LIKE '§lapse:%' OR NEW.effects LIKE '%"uncollected"%')))
    EXECUTE FUNCTION pedro_ledger.note_outcome();
