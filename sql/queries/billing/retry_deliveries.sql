-- Deliveries ($1 provider and id of each, joined by a colon; null for all that wait) are due now, rejected ones too where they can be tried again.
UPDATE pedro_ledger.webhook_delivery SET state = 'pending', attempts = 0, next_try_at = now()
WHERE payload IS NOT NULL AND (provider || ':' || event_id = ANY ($1::text[]) AND state IN ('pending', 'rejected')
    OR $1::text[] IS NULL AND state = 'pending')
RETURNING provider || ':' || event_id AS id
