"""PostgreSQL as a server: connections, URLs, replicas, health, the embedded server.

Nothing here knows a table.
"""
