"""Who may take part in a federation: authority, requests, certificates."""
