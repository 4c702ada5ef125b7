"""What is wrong with one user, one row or one column stays its own: neighbours are served, and it
heals without a restart.
"""
