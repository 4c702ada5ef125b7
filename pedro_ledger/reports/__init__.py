"""What operators look at: reports by name, and the forms that they come in."""
