"""The HTTP contract: routes on one screen, a module per resource, one place that authenticates, one that renders errors."""
