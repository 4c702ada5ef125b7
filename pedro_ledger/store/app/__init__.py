"""The app's own tables, as Prisma made them."""
