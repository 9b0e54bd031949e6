"""The command line: `islet`, one module per verb."""

from engine.cli.main import main

__all__ = ["main"]
