"""Tools beside the daemon, which imports none of them."""
