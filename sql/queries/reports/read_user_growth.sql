-- New users a day, newest day first ($1 from, $2 before, $3 how many days).
SELECT day, sum(users)::bigint AS users
FROM (
    SELECT day, users FROM pedro_ledger.signup_by_day WHERE day >= $1 AND day < $2
    UNION ALL
    SELECT day, users FROM pedro_ledger.signup_pending WHERE day >= $1 AND day < $2
) AS signup
GROUP BY day
HAVING sum(users) <> 0
ORDER BY day DESC
LIMIT $3
