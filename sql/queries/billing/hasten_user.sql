-- A period of a user ($1) and provider ($2) has its credits: what waited for that is due now.
UPDATE pedro_ledger.webhook_delivery SET next_try_at = now()
WHERE state = 'pending' AND user_id = $1 AND provider = $2 AND reason <> 'not_finished' AND next_try_at > now()
