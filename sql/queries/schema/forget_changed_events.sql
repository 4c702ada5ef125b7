-- Events that the app changed or removed while nobody followed are settled anew, as are those that it added.
DELETE FROM pedro_ledger.event_plan AS known
WHERE NOT EXISTS (
    SELECT FROM public."SubscriptionEvent" AS event
    WHERE event."clerkUserId" = known.clerk_id AND event."id" = known.event_id
        AND (known.told_by <> 'app' OR known.plan_keys = pedro_ledger.plan_keys_of(event."planKey", event."metadata")));
UPDATE pedro_ledger.event_plan_progress SET after_id = '', is_done = NOT EXISTS (SELECT FROM public."SubscriptionEvent");
