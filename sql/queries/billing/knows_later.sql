-- Whether a later event of a Clerk user ($1 Clerk id, $2 when this one happened, $3 its id) was applied already.
SELECT EXISTS (
    SELECT FROM pedro_ledger.webhook_delivery
    WHERE provider = 'clerk' AND subject = $1 AND occurred_at > $2 AND event_id <> $3
        AND event_type LIKE 'user.%' AND state IN ('applied', 'ignored')
)
