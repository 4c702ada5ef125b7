"""The inbox of webhooks, and the billing periods that they tell of."""
