-- The app's one row of settings, without making it where it is missing.
SELECT to_jsonb(settings)::text FROM public."AdminSettings" AS settings WHERE "id" = 'singleton'
