"""The credit ledger daemon for AI products."""

__version__ = "0.2.0.dev0"
