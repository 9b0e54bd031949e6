"""Every system of Islet, as values."""
