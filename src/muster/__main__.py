"""Let ``python -m muster`` be the command line."""

import sys

from muster.cli import main

sys.exit(main())
