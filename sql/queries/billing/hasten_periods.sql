-- Plans have changed: periods that wait are due now.
UPDATE pedro_ledger.plan_period SET attempts = 0, next_try_at = now()
WHERE is_owed AND reason IS NOT NULL AND next_try_at > now()
