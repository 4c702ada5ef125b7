-- Why a delivery or a billing period waits, so that it can be listed; and what lists and hastens them.
-- A delivery that waits keeps the state `pending`, whatever it waits for: a replica of the version before knows no other word.

ALTER TABLE pedro_ledger.webhook_delivery
    ADD COLUMN reason text,                           -- stable code: why it waits, or why it was rejected
    ADD COLUMN detail text;                           -- the same for people
ALTER TABLE pedro_ledger.plan_period
    ADD COLUMN reason text,                           -- stable code: why its credits are still owed
    ADD COLUMN detail text;

UPDATE pedro_ledger.webhook_delivery SET reason = 'user_not_found' WHERE state = 'pending';

CREATE INDEX webhook_delivery_set_aside_idx ON pedro_ledger.webhook_delivery (received_at) WHERE state IN ('pending', 'rejected');
CREATE INDEX webhook_delivery_user_idx ON pedro_ledger.webhook_delivery (user_id) WHERE state = 'pending';
