-- Lots and holds: what entries did beyond a plain one, and when something falls due.
-- No row is rewritten: the new columns are null everywhere, and the new checks hold for every row that is there.

ALTER TABLE pedro_ledger.entry ADD effects text;               -- JSON, byte for byte as hashed; null for everything plain
ALTER TABLE pedro_ledger.account ADD due_at timestamptz(3);    -- not later than the first moment of any lot or hold; null: none

ALTER TABLE pedro_ledger.entry DROP CONSTRAINT entry_kind_known;
ALTER TABLE pedro_ledger.entry ADD CONSTRAINT entry_kind_known CHECK (kind IN (
    'deduct', 'refund', 'grant', 'opening', 'adjustment', 'hold', 'extend', 'capture', 'void', 'expiry')) NOT VALID;
ALTER TABLE pedro_ledger.entry VALIDATE CONSTRAINT entry_kind_known;
ALTER TABLE pedro_ledger.account ADD CONSTRAINT account_held_is_open CHECK (held = 0 OR open_items <> '{}') NOT VALID;
ALTER TABLE pedro_ledger.account VALIDATE CONSTRAINT account_held_is_open;

-- An index whose predicate names `held` makes every change of it a non-HOT update; what falls due is found by its moment, and
-- everything that is held falls due.
DROP INDEX pedro_ledger.account_held_idx;
CREATE INDEX account_due_idx ON pedro_ledger.account (due_at) WHERE due_at IS NOT NULL;

-- A replica of the version before knows nothing of lots and holds, and would spend beneath them.
CREATE TRIGGER account_with_open_items_needs_its_version BEFORE UPDATE ON pedro_ledger.account
    FOR EACH ROW WHEN (OLD.open_items <> '{}' AND current_setting('pedro_ledger.books', true) IS DISTINCT FROM '2')
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: this account has open lots or holds, which this version does not know; upgrade the daemon');
