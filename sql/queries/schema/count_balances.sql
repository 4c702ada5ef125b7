-- How many balances the app has made, where there is no ledger yet.
SELECT count(*) FROM public."CreditBalance"
