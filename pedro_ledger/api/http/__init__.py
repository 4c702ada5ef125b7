"""HTTP without the ledger: connections, requests, problems, pages, rate limits."""
