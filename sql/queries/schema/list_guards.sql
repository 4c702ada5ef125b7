-- Everything of ours on tables of others: triggers that call a function of ours, with the statement that makes each again.
SELECT t.tgrelid::regclass::text AS "table", t.tgname::text AS name, pg_get_triggerdef(t.oid) AS definition,
    format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass) AS removal
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE p.pronamespace = to_regnamespace('pedro_ledger') AND c.relnamespace <> p.pronamespace
    AND NOT t.tgisinternal AND t.tgparentid = 0
ORDER BY 1, 2
