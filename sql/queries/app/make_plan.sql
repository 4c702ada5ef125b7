-- Make a plan ($1 id) from a JSON object of columns ($2); what it does not name has the column's default.
INSERT INTO public."Plan"
SELECT made.* FROM jsonb_populate_record(
    NULL::public."Plan",
    jsonb_build_object('active', true, 'sortOrder', 0, 'highlight', false, 'ctaType', 'checkout', 'billingSource', 'manual')
        || $2::jsonb
        || jsonb_build_object('id', $1::text, 'createdAt', now() AT TIME ZONE 'UTC', 'updatedAt', now() AT TIME ZONE 'UTC')
) AS made
RETURNING to_jsonb("Plan")::text
