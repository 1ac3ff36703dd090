"""`python -m gateway`."""

import sys

if __name__ == "__main__":
    # structlog brings rich along wherever that is installed, for tracebacks that nobody sees here: 4 MB of a small machine.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    if sys.argv[1:] == ["run"]:  # what the service says: without the 3 MB that the other commands take
        from gateway.process import run_until_signalled

        raise SystemExit(run_until_signalled())
    from gateway.cli import main

    main()
