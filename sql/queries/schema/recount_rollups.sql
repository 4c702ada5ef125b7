-- Count balances and sign-ups anew, and begin to sum up the history anew. The triggers that note changes hold the tables meanwhile.
LOCK TABLE public."CreditBalance", public."User" IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM pedro_ledger.balance_pending;
DELETE FROM pedro_ledger.balance_by_band;
INSERT INTO pedro_ledger.balance_by_band (band, users, credits)
SELECT pedro_ledger.band("creditsRemaining"), count(*), sum("creditsRemaining") FROM public."CreditBalance" GROUP BY 1;
DELETE FROM pedro_ledger.signup_pending;
DELETE FROM pedro_ledger.signup_by_day;
INSERT INTO pedro_ledger.signup_by_day (day, users) SELECT "createdAt"::date, count(*) FROM public."User" GROUP BY 1;
DELETE FROM pedro_ledger.usage_pending;
TRUNCATE pedro_ledger.usage_by_day, pedro_ledger.usage_by_user_span, pedro_ledger.usage_by_user;
CREATE TABLE IF NOT EXISTS pedro_ledger.history_summing (after_user_id text NOT NULL);
DELETE FROM pedro_ledger.history_summing;
INSERT INTO pedro_ledger.history_summing VALUES ('');
