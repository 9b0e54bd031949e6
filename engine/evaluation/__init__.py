"""How well a system did."""
