"""What Clerk and Asaas deliver: is it genuine, what does it say, and what follows from it. HTTP is in `api`, SQL in `store`."""
