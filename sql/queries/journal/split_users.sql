-- The last user of each of $1 shares of about as many accounts.
SELECT max(user_id) AS last
FROM (SELECT user_id, ntile($1) OVER (ORDER BY user_id) AS share FROM pedro_ledger.account) AS dealt
GROUP BY share
ORDER BY 1
