"""One module a resource; none knows another."""
