-- The newest row of the partition of all other times: it alone holds rows from $1 on. The table is asked, whose rights a role may have.
SELECT max("timestamp") FROM public."UsageHistory" WHERE "timestamp" >= $1
