"""The composition root of `serve`: what is started, in what order, and undone in reverse."""
