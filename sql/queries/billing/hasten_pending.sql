-- What waits for a user of a Clerk id ($1) is due now.
UPDATE pedro_ledger.webhook_delivery SET next_try_at = now()
WHERE state = 'pending' AND next_try_at > now() AND position($1 IN payload) > 0
