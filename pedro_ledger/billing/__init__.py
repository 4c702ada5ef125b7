"""What comes in from the providers of users and payments: webhooks of Clerk and Asaas."""
