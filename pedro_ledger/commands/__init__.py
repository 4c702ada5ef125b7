"""What the longer commands do; `cli` only parses their options."""
