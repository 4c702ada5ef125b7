"""The only place that speaks to PostgreSQL. SQL comes from `sql/`, one query a file."""
