"""Sealed accounts, and what proves an entry against them."""
