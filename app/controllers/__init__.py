"""The user's verbs, one module per task."""
