"""`python -m homevigil` is `homevigil`."""

import sys

from homevigil.cli import main

sys.exit(main())
