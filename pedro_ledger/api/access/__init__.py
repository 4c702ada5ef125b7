"""Who calls: API keys and session tokens."""
