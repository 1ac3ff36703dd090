"""`systemctl ROOT VERB …` where no systemd runs: starts the unit's own command, waits for READY=1, knows whether it lives.

Nothing of the sandbox, and no restart: what the unit says of those is tried on a real systemd (test_on_systemd.py).
"""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

READY_WITHIN_S = 30


def main(root: Path, verb: str) -> int:
    pid_file = root / "run" / "gateway.pid"
    if verb in ("restart", "stop"):  # of the gateway; whatever other units are named beside it is not looked at
        stop(pid_file)
    if verb == "restart":
        return start(root, pid_file)
    if verb == "show":
        pid = alive(pid_file)
        print(f"LoadState=loaded\nActiveState={'active' if pid else 'failed'}\nMainPID={pid}\nNRestarts=0")
    return 0


def start(root: Path, pid_file: Path) -> int:
    """Detached, so that it outlives this process; 1 if it ends before it is ready."""
    link = root / "etc/systemd/system/homevigil-gateway.service"
    unit = (root / str(link.readlink()).lstrip("/")).read_text()
    environment = {"PATH": os.environ["PATH"], "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={root}/no-bus"}
    environment |= dict(re.findall(r"^Environment=([A-Z_]+)=(.*)$", unit, re.MULTILINE))
    (settings,) = re.findall(r"^EnvironmentFile=-?(\S+)$", unit, re.MULTILINE)
    for line in (root / settings.lstrip("/")).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            environment[name] = value.strip("\"'")
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    moved = {name: f"{root}{value}" if value.startswith("/var/") else value for name, value in environment.items()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, (root / "run" / "log").open("ab") as log:
        notify.bind(f"\0homevigil-test-{os.getpid()}")
        notify.settimeout(0.05)
        process = subprocess.Popen(
            [f"{root}{command.split()[0]}", *command.split()[1:]],
            env=moved | {"NOTIFY_SOCKET": f"@homevigil-test-{os.getpid()}"},
            cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        pid_file.write_text(str(process.pid))
        for _ in range(READY_WITHIN_S * 20):
            try:
                if b"READY=1" in notify.recv(4096):
                    return 0
            except TimeoutError:
                if process.poll() is not None:
                    print(f"it ended with {process.returncode}", file=sys.stderr)
                    return 1
    return 1


def stop(pid_file: Path) -> None:
    pid = alive(pid_file)
    if pid:
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        import select

        select.select([descriptor], [], [], 15)
        os.close(descriptor)


def alive(pid_file: Path) -> int:
    """Its process id, or 0."""
    try:
        pid = int(pid_file.read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return 0
    return 0 if state in ("Z", "X") else pid


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
