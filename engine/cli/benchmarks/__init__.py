"""What `islet benchmark` measures, one module for each measurement."""
