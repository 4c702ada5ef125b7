-- One atomic deduct on the app's own tables: what one would write without a ledger. No row back where credits do not suffice.
CREATE FUNCTION bench_deduct(asked_user text, asked_operation "OperationType", asked_credits integer)
RETURNS TABLE (entry_id text, credits_remaining integer)
LANGUAGE plpgsql AS $$
DECLARE
    balance_id text;
BEGIN
    UPDATE "CreditBalance"
    SET "creditsRemaining" = "creditsRemaining" - asked_credits,
        "lastSyncedAt" = now() AT TIME ZONE 'UTC',
        "updatedAt" = now() AT TIME ZONE 'UTC'
    WHERE "userId" = asked_user AND "creditsRemaining" >= asked_credits
    RETURNING "id", "creditsRemaining" INTO balance_id, credits_remaining;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed")
    VALUES (gen_random_uuid()::text, asked_user, balance_id, asked_operation, asked_credits)
    RETURNING "id" INTO entry_id;
    RETURN NEXT;
END
$$;
