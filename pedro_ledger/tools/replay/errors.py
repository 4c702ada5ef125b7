"""Why a replay ends before its report. Each message is one line that says what to do."""


class ReplayStopped(Exception):
    """The replay cannot begin, or cannot go on."""


class TraceError(ReplayStopped):
    """The trace cannot be read; the message starts with file and line."""


class DaemonLost(ReplayStopped):
    """The daemon stopped answering; the run can go on once it is back."""
