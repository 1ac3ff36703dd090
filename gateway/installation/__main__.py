"""`python -m gateway.installation`."""

import sys

from gateway.installation.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
