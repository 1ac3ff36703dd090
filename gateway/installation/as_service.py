"""`homevigil-gateway` as a person types it: with the service's settings, as the service's user, in its folder.

Started by root through sudo, it gives that up before it reads anything but the settings file. After a good `enrol` it starts the
service anew, which the service's user could not.
"""

import os
import subprocess
import sys
from pathlib import Path

from gateway.installation import account
from gateway.installation.host import Host

ROOT = Path("/")
CHANGES_WHO_WE_ARE = "enrol"


def main(arguments: list[str]) -> int:
    """The command's own exit code."""
    who = account.account(ROOT)
    if who is None:
        print("there is no user homevigil-gateway on this machine: install the gateway first", file=sys.stderr)
        return 1
    if os.geteuid() not in (0, who.uid):
        print(
            f"this needs the service's settings and outbox: sudo homevigil-gateway {' '.join(arguments)}",
            file=sys.stderr,
        )
        return 1
    environment = {**os.environ, **account.settings(ROOT), "HOME": str(ROOT / account.STATE)}
    done = subprocess.run(
        [sys.executable, "-I", "-m", "gateway", *arguments],
        env=environment,
        cwd=ROOT / account.STATE,
        preexec_fn=(lambda: account.become(who)) if os.geteuid() == 0 else None,
        check=False,
    )
    if done.returncode == 0 and arguments[:1] == [CHANGES_WHO_WE_ARE] and os.geteuid() == 0:
        wrong = Host().restart()
        print(wrong or "the gateway has been started", file=sys.stderr)
        return 1 if wrong else 0
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
