"""Measurements at size, run by hand; each prints its figures."""
