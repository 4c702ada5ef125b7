"""What goes over the wire: bodies that callers send, and answers."""
