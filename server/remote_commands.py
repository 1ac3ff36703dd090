"""`python -m server gateway configure|diagnostics`: a box in a home is set from afar, and asked how it is.

What is set is written here and published by intake; what the gateway has made of it, it says itself. A pairing code is
never shown again: only for which meters there is one. What a gateway wrote is shown without control characters.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
import typer

from server import clock
from server.enrolment_commands import (
    GatewayArgument,
    JsonOption,
    checked_name,
    checked_zone,
    gateway_of,
    gateways,
    spoken_instant,
)
from server.terminal import fail, in_database, note_deed, print_json
from vitals.gatt.user_data import UNKNOWN_USER
from vitals.remote_config import MAX_PAIRING_CODES, MAX_USERS, LogLevel, RemoteConfig

if TYPE_CHECKING:
    from server.store.postgres import Connection
    from server.store.remote_config import Diagnosis, Wanted

__all__ = ["gateways"]
"""The commands that enrol, and those of this module."""

LONGEST_PAUSE_H: Final = 168


def _coded(texts: Sequence[str] | None) -> list[str]:
    """METER=123456, each; the code is not said again when it is refused."""
    for text in texts or ():
        meter, _, code = text.partition("=")
        if not re.fullmatch(r"[0-9]{6}", code):
            raise typer.BadParameter("METER=CODE, where CODE is the six digits on the meter, leading zeros too")
        checked_name(meter)
    return list(texts or ())


def _users(texts: list[str] | None) -> list[str]:
    for text in texts or ():
        meter, _, index = text.partition("/")
        if not index.isascii() or not index.isdecimal() or int(index) >= UNKNOWN_USER or index != str(int(index)):
            raise typer.BadParameter(f"METER/USER, where USER is the number in the meter, 0 to {UNKNOWN_USER - 1}")
        checked_name(meter)
    return list(texts or ())


def _user_coded(texts: list[str] | None) -> list[str]:
    for text in texts or ():
        whom, _, code = text.partition("=")
        if not re.fullmatch(r"[0-9]{4}", code):
            raise typer.BadParameter("METER/USER=CODE, where CODE is four digits, leading zeros too")
        _users([whom])
    return list(texts or ())


@gateways.command("configure")
def configure(
    gateway_id: GatewayArgument,
    zone: Annotated[
        str | None, typer.Option(callback=checked_zone, metavar="ZONE", help="IANA time zone of the home.")
    ] = None,
    pairing_code: Annotated[
        list[str] | None,
        typer.Option(callback=_coded, metavar="METER=CODE", help="Six digits of a meter; may be repeated."),
    ] = None,
    user_code: Annotated[
        list[str] | None,
        typer.Option(
            callback=_user_coded,
            metavar="METER/USER=CODE",
            help="Four digits of a shared meter's user; may be repeated.",
        ),
    ] = None,
    forget_user: Annotated[
        list[str] | None, typer.Option(callback=_users, metavar="METER/USER", help="Forget that code; may be repeated.")
    ] = None,
    forget_code: Annotated[
        list[str] | None, typer.Option(metavar="METER", help="Forget a meter's code; may be repeated.")
    ] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="Least severe line that the gateway logs.")] = None,
    pause: Annotated[
        int | None,
        typer.Option(
            min=0, max=LONGEST_PAUSE_H, metavar="HOURS", help="Leave its adapter alone for so long; 0: no more."
        ),
    ] = None,
    home_assistant: Annotated[
        Literal["on", "off", "own"] | None, typer.Option(help="`own`: as the gateway's own settings say.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set a gateway from afar; with nothing to set, show what is set, and what the gateway says it has applied."""
    from server.store import enrolment, remote_config

    given = (zone, log_level, pause, home_assistant)
    is_change = any(each is not None for each in given) or bool(pairing_code or forget_code or user_code or forget_user)

    def changed(before: RemoteConfig) -> RemoteConfig:
        news: dict[str, Any] = {
            "pairing_codes": _with_codes(before.pairing_codes, pairing_code or (), forget_code or ()),
            "user_codes": _with_users(before.user_codes, user_code or (), forget_user or ()),
        }
        news |= {} if zone is None else {"zone": zone}
        news |= {} if log_level is None else {"log_level": log_level}
        news |= {} if pause is None else {"scanning_paused_until": _until(pause)}
        news |= {} if home_assistant is None else {"home_assistant": {"on": True, "off": False}.get(home_assistant)}
        return msgspec.structs.replace(before, **news)

    def work(conn: "Connection") -> "Wanted":
        gateway_of(conn, gateway_id)
        if zone is not None:
            enrolment.add_gateway(conn, gateway_id, zone)
            note_deed(conn, "gateway.move", subject=gateway_id, zone=zone)
        if is_change:
            note_deed(conn, "gateway.configure", subject=gateway_id)
            remote_config.change(conn, gateway_id, changed)
        return remote_config.wanted(conn, gateway_id)

    _show(gateway_id, in_database(work), as_json=as_json)


@gateways.command("diagnostics")
def diagnostics(
    gateway_id: GatewayArgument,
    ask: Annotated[bool, typer.Option("--ask", help="Ask the gateway; it answers within a minute.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how a gateway said it was when it was last asked; `--ask` asks it again."""
    from server.store import remote_config

    def want(before: RemoteConfig) -> RemoteConfig:
        return msgspec.structs.replace(before, diagnostics=f"r{before.revision + 1}")

    def work(conn: "Connection") -> "Diagnosis | RemoteConfig | None":
        gateway_of(conn, gateway_id)
        if ask:
            note_deed(conn, "gateway.ask", subject=gateway_id)
            return remote_config.change(conn, gateway_id, want)
        return remote_config.newest_diagnosis(conn, gateway_id)

    found = in_database(work)
    if found is None:
        fail(f"gateway {gateway_id} has never answered: `server gateway diagnostics {gateway_id} --ask` asks it")
    if isinstance(found, RemoteConfig):
        typer.echo(
            f"gateway {gateway_id}: asked ({found.diagnostics}); without --ask the answer is shown when it is there"
        )
    elif as_json:
        print_json(found)
    else:
        typer.echo(f"{found.request}, received {found.received_at.isoformat(timespec='seconds')}")
        _tell(found.document)


def _with_codes(before: Mapping[str, str], told: Sequence[str], forgotten: Sequence[str]) -> dict[str, str]:
    pairs = (text.partition("=") for text in told)
    codes = dict(before) | {checked_name(meter): code for meter, _, code in pairs}
    for meter in forgotten:
        codes.pop(checked_name(meter), None)
    if len(codes) > MAX_PAIRING_CODES:
        fail(f"a gateway is told {MAX_PAIRING_CODES} codes at most: forget those that are not used", code=2)
    return codes


def _with_users(
    before: Mapping[str, Mapping[str, str]], told: Sequence[str], forgotten: Sequence[str]
) -> dict[str, dict[str, str]]:
    users = {meter: dict(codes) for meter, codes in before.items()}
    for text in told:
        whom, _, code = text.partition("=")
        meter, _, index = whom.partition("/")
        users.setdefault(checked_name(meter), {})[index] = code
    for whom in forgotten:
        meter, _, index = whom.partition("/")
        users.get(checked_name(meter), {}).pop(index, None)
    users = {meter: codes for meter, codes in users.items() if codes}
    if len(users) > MAX_PAIRING_CODES or any(len(each) > MAX_USERS for each in users.values()):
        fail(f"{MAX_USERS} users of {MAX_PAIRING_CODES} meters at most: forget those that are not used", code=2)
    return users


def _until(hours: int) -> datetime | None:
    return clock.now().astimezone(UTC).replace(microsecond=0) + timedelta(hours=hours) if hours else None


def _show(gateway_id: str, wanted: "Wanted", *, as_json: bool) -> None:
    users = [f"{meter}/{index}" for meter, codes in wanted.config.user_codes.items() for index in codes]
    codes = {"pairing_codes": sorted(wanted.config.pairing_codes), "user_codes": sorted(users)}
    config = msgspec.to_builtins(wanted.config) | codes
    if as_json:
        print_json({"wanted": config, "published_at": wanted.published_at, "said": wanted.said})
        return
    if not wanted.config.revision:
        typer.echo(f"gateway {gateway_id}: nothing is set from afar")
        return
    published = (
        "not yet published" if wanted.published_at is None else f"published {spoken_instant(wanted.published_at)}"
    )
    typer.echo(f"gateway {gateway_id}: revision {wanted.config.revision}, {published}")
    for name, value in config.items():
        if name not in ("v", "revision") and value not in (None, [], {}):
            typer.echo(f"  {name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
    typer.echo(f"the gateway says: {_in_words(wanted)}")


def _in_words(wanted: "Wanted") -> str:
    """What it says was made of the document; what another program wrote is shown as far as it is text and numbers."""
    said = wanted.said
    if said is None:
        return "nothing of it yet"
    state, revision, in_force = (_plain(said.get(name))[:40] for name in ("state", "revision", "in_force"))
    words = f"revision {revision} {state}, {in_force} in force"
    words += f"; why: {_plain(said['why'])[:200]}" if "why" in said else ""
    return words + (f"; not understood: {_plain(said['ignored'])[:200]}" if "ignored" in said else "")


def _tell(document: Any, indent: str = "  ") -> None:
    for name, value in document.items():
        if isinstance(value, dict):
            typer.echo(f"{indent}{_plain(name)}:")
            _tell(value, indent + "  ")
        elif isinstance(value, list):
            typer.echo(f"{indent}{_plain(name)}:")
            for each in value:
                typer.echo(f"{indent}  {_plain(each)}")
        else:
            typer.echo(f"{indent}{_plain(name)}: {_plain(value)}")


def _plain(value: object) -> str:
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value))
