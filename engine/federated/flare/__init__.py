"""The parts of Islet that NVIDIA FLARE loads, and how its processes are begun."""
