"""The window: everything Qt and VTK; never imports torch."""
