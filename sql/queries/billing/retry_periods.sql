-- Every billing period that is owed is due now.
UPDATE pedro_ledger.plan_period SET attempts = 0, next_try_at = now() WHERE is_owed
