"""`python -m faults.hasty ARG…`: our server with the sender's waits made short, so that a trial need not last for minutes.

Only times change, in their proportions: a lease stays longer than a call may take. Nothing else is replaced.
"""

import runpy
import sys

LEASE_S = 2.5
CALL_S = 0.6
BACKOFF_S = 0.4


def main() -> None:
    from server.push import calls, dispatch

    calls.TIMEOUT_S = CALL_S
    dispatch.LEASE_S = LEASE_S
    dispatch.BACKOFF_S_FIRST = BACKOFF_S
    runpy.run_module("server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.argv[0] = "server"
    main()
