"""Reports and the rollups that they read."""
