"""`python -m gateway`."""

import sys

if __name__ == "__main__":
    # structlog brings rich along wherever that is installed, for tracebacks that nobody sees here: 4 MB of a small machine.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    from gateway.cli import main

    main()
