"""The schema itself: migrations, roles, partitions, backups."""
