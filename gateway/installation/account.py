"""The service's own user, and becoming it: what a person's command writes into the state folder must be the service's to read.

The settings file is systemd's (`EnvironmentFile=`); it is read here by the same rules as far as it goes: one `NAME=value` a line,
quotes around a value are taken off, nothing is expanded.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAME: Final = "homevigil-gateway"
STATE: Final = Path("var/lib/homevigil-gateway")
IDENTITY: Final = STATE / "identity"
"""What enrolment writes; not there before."""
SETTINGS: Final = Path("etc/homevigil/gateway.env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Numbers, since in a folder that stands for a machine the names are not this machine's."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def make_account(root: Path, conf: Path) -> None:
    """Make the user and its group, where they are not there yet. Raises `CalledProcessError`."""
    (root / "etc").mkdir(exist_ok=True)
    command = ["systemd-sysusers", f"--root={root}", str(conf.resolve())]
    subprocess.run(command, check=True, capture_output=True, text=True)


def account(root: Path, name: str = NAME) -> Account | None:
    """The service's user as the machine's own files say; None if it is not there."""
    for line in _lines(root / "etc/passwd"):
        user, _, uid, gid, *_ = line.split(":")
        if user == name:
            return Account(uid=int(uid), gid=int(gid), groups=(int(gid), *_groups(root, name)))
    return None


def settings(root: Path) -> dict[str, str]:
    """The environment that the unit gives the gateway: the places first, then what the settings file says."""
    found = {
        "HOMEVIGIL_GATEWAY_OUTBOX": str(root / STATE / "outbox.sqlite3"),
        "HOMEVIGIL_GATEWAY_IDENTITY": str(root / IDENTITY),
    }
    for line in _lines(root / SETTINGS):
        name, equals, value = line.strip().partition("=")
        if equals and name and not name.startswith(("#", ";")):
            found[name.strip()] = _unquoted(value.strip())
    return found


def become(who: Account) -> None:
    """From here on this process is the service's user, in groups and umask too. Only root can."""
    os.setgroups(who.groups)
    os.setgid(who.gid)
    os.setuid(who.uid)
    os.umask(0o077)


def _groups(root: Path, name: str) -> list[int]:
    rows = (line.split(":") for line in _lines(root / "etc/group"))
    return [int(row[2]) for row in rows if len(row) == 4 and name in row[3].split(",")]


def _unquoted(value: str) -> str:
    is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
