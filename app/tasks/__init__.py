"""Work that must not block the window."""
