"""The actors: each user's operations in that user's own queue, decided in order, committed in
groups.

The database is seen only through the protocols of `ports`.
"""
