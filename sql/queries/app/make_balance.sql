-- An empty balance for a new user ($1 id of the balance, $2 user, $3 Clerk id).
INSERT INTO public."CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "lastSyncedAt", "createdAt", "updatedAt")
VALUES ($1, $2, $3, 0, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
