"""Why no checkpoint can be made."""

from pedro_ledger.ledger.errors import OperatorError


class CheckpointError(OperatorError):
    """No checkpoint was made; the message is one line that says why, and what to do."""
