"""Network parts and how they are built."""
