"""Trials: everything is broken under a crowd of callers, and a judge compares what they were told with the ledger."""

PATIENCE_S = 60
"""How long a step of a trial may take on a machine that others use too. What a promise says of time is asserted apart."""
