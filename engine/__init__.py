"""The engine: every noun and verb of Islet that needs no window."""
