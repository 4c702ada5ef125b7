"""How callers name a user: what a Clerk id may be, and so what may stand in a path, a query or a
batch.
"""

CLERK_ID_LENGTH_MAX = 255
CLERK_ID_PATTERN = r"^[^\x00-\x1f\x7f]+$"
USER_REF_PATTERN = r"^(clerk:)?[^\x00-\x1f\x7f]{1,255}$"
"""`User.id`, or `clerk:` and every Clerk id that makes a user."""
USER_REF_LENGTH_MAX = len("clerk:") + CLERK_ID_LENGTH_MAX
