-- An account ($1 User.id or null, $2 Clerk id or null) with the entries that made its open lots.
SELECT "User"."id" AS user_id, balance."creditsRemaining" AS shown, to_jsonb(account) AS account,
    (SELECT jsonb_agg(jsonb_build_object('seq', made.seq, 'id', made.id, 'kind', made.kind, 'source', made.source))
     FROM pedro_ledger.entry AS made
     WHERE made.user_id = account.user_id
         AND made.seq IN (SELECT (lot ->> 0)::bigint FROM jsonb_array_elements(account.open_items -> 'l') AS lot)) AS made
FROM public."User"
LEFT JOIN public."CreditBalance" AS balance ON balance."userId" = "User"."id"
LEFT JOIN pedro_ledger.account ON account.user_id = "User"."id"
WHERE "User"."id" = $1 OR "User"."clerkId" = $2
