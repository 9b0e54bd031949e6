"""What is drawn: planes, volume, overlays. The only modules that speak VTK."""
