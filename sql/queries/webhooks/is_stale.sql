-- Whether a later event of a user ($1 provider, $2 subject, $3 when this one happened, $4 its id) was applied already.
SELECT EXISTS (
    SELECT FROM pedro_ledger.webhook_delivery
    WHERE provider = $1 AND subject = $2 AND occurred_at > $3 AND event_id <> $4
        AND event_type LIKE 'user.%' AND state IN ('applied', 'ignored')
)
