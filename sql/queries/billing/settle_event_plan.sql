-- Which plan an event ($1 Clerk user, $2 id) means is known now ($3), or why not ($4); no row where it was known.
UPDATE pedro_ledger.event_plan SET plan_id = $3, reason = $4
WHERE clerk_id = $1 AND event_id = $2 AND plan_id IS NULL
RETURNING 1
