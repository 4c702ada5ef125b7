-- What a backup of this transaction's snapshot holds; whatever was acknowledged before `cut_at` is in it.
SELECT now() AS cut_at,   -- when the transaction began, so before its snapshot was taken
    current_setting('server_version_num')::integer / 10000 AS server_major,
    count(*) AS users, coalesce(sum(seq), 0)::bigint AS entries, coalesce(sum(posted), 0)::bigint AS credits
FROM pedro_ledger.account
