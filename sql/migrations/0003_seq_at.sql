-- Finds where a user's ledger stood at a moment, without an index on time: seq has no gaps, so it can be halved.

-- The last entry before the first one that is later than `moment` (one such place, where clocks disagreed); 0 before the first entry.
CREATE FUNCTION pedro_ledger.seq_at(of_user text, moment timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    low    bigint := 0;
    high   bigint := (SELECT account.seq + 1 FROM pedro_ledger.account WHERE account.user_id = of_user);
    middle bigint;
BEGIN
    WHILE high - low > 1 LOOP
        middle := (low + high) / 2;
        IF (SELECT entry.created_at <= moment FROM pedro_ledger.entry WHERE entry.user_id = of_user AND entry.seq = middle) THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN low;
END
$$;
