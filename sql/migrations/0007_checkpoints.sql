-- Checkpoints: signed statements of where every account stood, and the sealed accounts of the latest ones.

CREATE TABLE pedro_ledger.checkpoint (
    number bigint NOT NULL PRIMARY KEY CHECK (number > 0),
    line   text   NOT NULL                          -- as in the file outside the database, byte for byte
);

-- The leaves of a checkpoint's Merkle tree, a page of 1024 a row: enough to lead from any account to the signed root.
-- Kept for the latest checkpoints only, and worth nothing unless they make that root: they need no guard.
CREATE TABLE pedro_ledger.checkpoint_page (
    checkpoint    bigint  NOT NULL,
    page          integer NOT NULL,                 -- from 0, in the order of the bytes of the user ids
    first_user_id text    COLLATE "C" NOT NULL,
    root          bytea   NOT NULL,                 -- of the page's own leaves
    leaves        bytea   NOT NULL,                 -- joined by NUL, deflated
    CONSTRAINT checkpoint_page_pkey PRIMARY KEY (checkpoint, page),
    CONSTRAINT checkpoint_page_root_is_sha256 CHECK (octet_length(root) = 32)
);
ALTER TABLE pedro_ledger.checkpoint_page ALTER COLUMN leaves SET STORAGE EXTERNAL;

CREATE INDEX checkpoint_page_first_user_idx ON pedro_ledger.checkpoint_page (checkpoint, first_user_id);

CREATE TRIGGER checkpoint_is_append_only BEFORE UPDATE OR DELETE ON pedro_ledger.checkpoint
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: checkpoints are immutable; make another one');
CREATE TRIGGER checkpoint_is_not_truncated BEFORE TRUNCATE ON pedro_ledger.checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: checkpoints are immutable and are never truncated');
CREATE TRIGGER checkpoint_comes_from_the_daemon BEFORE INSERT ON pedro_ledger.checkpoint
    FOR EACH ROW WHEN (current_setting('pedro_ledger.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: checkpoints are made by pedro-ledger checkpoint');
