-- What locks a row for longer than this harms this transaction alone: it gives up, and is tried again.
SELECT set_config('lock_timeout', '2s', true)
