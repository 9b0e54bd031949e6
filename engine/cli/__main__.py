"""`python -m engine.cli` is `islet`."""

import sys

from engine.cli.main import main

sys.exit(main())
