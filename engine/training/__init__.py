"""How a system is fitted."""
