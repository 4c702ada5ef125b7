"""Why no checkpoint can be made."""


class CheckpointError(Exception):
    """No checkpoint was made; the message is one line that says why, and what to do."""
