"""What `homevigil doctor` looks at on this machine alone: Python, clock, disk, settings; and which checks are called for."""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from gateway.clock import Clock

if TYPE_CHECKING:
    from gateway.config import Settings as GatewaySettings
    from server.config import Settings as ServerSettings

State = Literal["ok", "warn", "fail", "not configured"]

DISK_WARN_BYTES: Final = 1 << 30
DISK_FAIL_BYTES: Final = 100 << 20
"""An outbox keeps some room in reserve; below 100 MiB a log file alone can fill the rest overnight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check saw; `do` is what the reader can do about it."""

    name: str
    state: State
    says: str
    do: str = ""


def examine() -> tuple[Finding, ...]:
    """Every check that this machine's settings call for, in the order in which to mend what they find."""
    clock = Clock()
    findings = [python(), synchronisation(is_synchronised=clock.is_synchronised())]
    findings += _examine_gateway(gateway_settings(), clock)
    findings += _examine_server(server_settings(), clock)
    return tuple(findings)


def _examine_gateway(settings: "GatewaySettings | Finding", clock: Clock) -> list[Finding]:
    if isinstance(settings, Finding):
        return [settings]
    from homevigil.doctor import world

    found = [disk(settings.outbox.parent), world.outbox(settings.outbox), world.bus(settings.adapter)]
    return [*found, world.broker("gateway's broker", world.Account.of_gateway(settings), now=clock.now())]


def _examine_server(settings: "ServerSettings | Finding", clock: Clock) -> list[Finding]:
    if isinstance(settings, Finding):
        return [settings]
    from homevigil.doctor import world

    url = settings.database_url.get_secret_value()
    broker = world.broker("server's broker", world.Account.of_server(settings), now=clock.now())
    return [*world.database(url, now=clock.now), broker]


def python() -> Finding:
    """Version of Python and of HomeVigil, and whether this is a virtual environment."""
    says = f"Python {platform.python_version()}, homevigil {metadata.version('homevigil')}, in {sys.prefix}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding(name="python", state="fail", says=says, do="Use Python 3.11, 3.12 or 3.13.")
    if sys.prefix == sys.base_prefix:
        do = "Install into a virtual environment: the rooms' names (gateway, server) are too general for a shared Python."
        return Finding(name="python", state="warn", says=says, do=do)
    return Finding(name="python", state="ok", says=says)


def synchronisation(*, is_synchronised: bool) -> Finding:
    """Whether the kernel says that something keeps its clock right."""
    if is_synchronised:
        return Finding(name="clock", state="ok", says="synchronised")
    do = "Enable time synchronisation: sudo timedatectl set-ntp true. In a container the host's clock counts."
    return Finding(name="clock", state="warn", says="the kernel does not say that its clock is synchronised", do=do)


def disk(folder: Path) -> Finding:
    """Room where the readings are kept. `folder` may not exist yet; then the nearest parent that does is looked at."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(existing).free
    says = f"{free / (1 << 30):.1f} GiB free for {folder}"
    if free < DISK_FAIL_BYTES:
        return Finding(
            name="disk", state="fail", says=says, do="Free some space now: what is kept is safe, new readings are not."
        )
    if free < DISK_WARN_BYTES:
        return Finding(name="disk", state="warn", says=says, do="Free some space soon.")
    return Finding(name="disk", state="ok", says=says)


def gateway_settings() -> "GatewaySettings | Finding":
    """The gateway's settings from the environment, or why there are none."""
    if not _are_set("HOMEVIGIL_GATEWAY_"):
        return _not_configured("gateway", "HOMEVIGIL_GATEWAY_ID")
    from gateway.config import load_settings
    from gateway.errors import SettingsError

    try:
        return load_settings()
    except SettingsError as e:
        return Finding(name="gateway", state="fail", says=str(e), do="docs/reference/settings.md lists every setting.")


def server_settings() -> "ServerSettings | Finding":
    """The server's settings from the environment, or why there are none."""
    if not _are_set("HOMEVIGIL_SERVER_"):
        return _not_configured("server", "HOMEVIGIL_SERVER_DATABASE_URL")
    from pydantic import ValidationError

    from server.config import Settings

    try:
        return Settings()  # type: ignore[call-arg]  # the environment gives the rest
    except ValidationError as e:
        wrong = "; ".join(
            f"HOMEVIGIL_SERVER_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}"
            for each in e.errors(include_input=False)
        )
        return Finding(name="server", state="fail", says=wrong, do="docs/reference/settings.md lists every setting.")


def _are_set(prefix: str) -> bool:
    return any(name.startswith(prefix) for name in os.environ)


def _not_configured(room: str, setting: str) -> Finding:
    return Finding(
        name=room, state="not configured", says=f"not configured here ({setting} is not set); nothing to check"
    )
