"""Findings and systems in the formats other programs read."""
