"""Volumes, label maps and data sets: how they come in, and how they are prepared."""
