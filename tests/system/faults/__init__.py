"""Trials: everything is broken under a crowd of callers, and a judge compares what they were told
with the ledger.
"""

from tests.support.patience import PATIENCE_S as PATIENCE_S
