"""The credit ledger itself, pure: accounts, operations, entries and the rules between them.

Nothing here does I/O, reads a clock or knows asyncio; only the standard library is imported.
"""
