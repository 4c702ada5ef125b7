"""The credit ledger daemon for AI products."""

__version__ = "0.1.0"
