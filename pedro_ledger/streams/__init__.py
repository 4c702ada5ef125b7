"""Balances as they move, for those who look on."""
