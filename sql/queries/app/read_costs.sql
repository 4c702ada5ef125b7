-- The feature costs, without making the settings where they are missing.
SELECT "featureCosts"::text FROM public."AdminSettings" WHERE "id" = 'singleton'
