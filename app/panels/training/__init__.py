"""The researcher's place: new runs, their curves, pictures and logs, and how they compare."""
