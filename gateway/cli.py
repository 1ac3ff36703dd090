"""`python -m gateway`: run the box, or look at its outbox. Heavy imports wait until a command needs them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    rich_markup_mode=None,
    help="HomeVigil's box in the home: reads meters over Bluetooth, keeps every reading, sends it to the clinic.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run() -> None:
    """Read meters and send readings until stopped; settings come from HOMEVIGIL_GATEWAY_… variables."""
    from gateway.process import run_until_signalled

    raise typer.Exit(run_until_signalled())


OutboxPath = Annotated[
    Path, typer.Option("--path", envvar="HOMEVIGIL_GATEWAY_OUTBOX", help="The outbox file.", show_envvar=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command()
def outbox(path: OutboxPath, as_json: AsJson = False) -> None:
    """Count what is kept, waiting, confirmed and refused."""
    _print(_counts(path), as_json=as_json)


@app.command()
def status(
    path: OutboxPath,
    identity: Annotated[
        Path | None, typer.Option("--identity", envvar="HOMEVIGIL_GATEWAY_IDENTITY", help="What enrolment has written.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Whether a gateway runs on this outbox, what waits in it, who vouches for the time, until when its certificate is good."""
    from gateway.clock import Clock
    from gateway.file_lock import is_locked
    from gateway.identity import end_in_words, read_identity
    from vitals.errors import MalformedError

    counts, box_clock = _counts(path), Clock()
    clock = "synchronised" if box_clock.is_believable() else "not synchronised: a running gateway asks the server"
    state: dict[str, Any] = {"running": is_locked(path), "clock": clock, "outbox": counts}
    try:
        known = None if identity is None else read_identity(identity)
        if known is not None:
            state["certificate"] = end_in_words(known.facts, box_clock.now())
    except MalformedError as e:
        state["certificate"] = e.message
    _print(state, as_json=as_json)


@app.command()
def diagnose(
    out: Annotated[Path | None, typer.Option(help="Write it there instead of printing it.")] = None,
) -> None:
    """How the box is, in detail, as JSON for whoever helps: without values, names, bytes, passwords or codes."""
    from gateway.bystander import look_at_box
    from gateway.errors import SettingsError

    try:
        told = json.dumps(look_at_box(), indent=1)
    except SettingsError as e:
        typer.echo(str(e), err=True)
        raise typer.Exit(2) from None
    if out is None:
        typer.echo(told)
    else:
        out.write_text(told + "\n", encoding="utf-8")
        typer.echo(f"written to {out}")


@app.command("pairing-code")
def pairing_code(
    meter: Annotated[str, typer.Argument(help="The meter's address, such as C4:64:E3:00:00:01.")],
    path: OutboxPath,
    code: Annotated[str | None, typer.Argument(help="The six digits printed on the meter.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the code of this meter.")] = False,
) -> None:
    """Keep the code that a meter wants when it pairs; beside the outbox, for the service's user only."""
    from gateway.pairing_codes import PairingCodes
    from vitals.errors import MalformedError

    if (code is None) is not remove:
        typer.echo("give a code, or --remove", err=True)
        raise typer.Exit(2)
    try:
        PairingCodes(path.parent).store(meter, code)
    except (MalformedError, OSError) as e:
        typer.echo(str(e), err=True)
        raise typer.Exit(1) from None
    typer.echo("forgotten" if remove else "kept; it is used the next time the meter is heard")


@app.command()
def user(
    meter: Annotated[str, typer.Argument(help="The meter's address, such as C4:64:E3:00:00:01.")],
    path: OutboxPath,
    index: Annotated[int | None, typer.Argument(help="The user's number in the meter.", show_default=False)] = None,
    code: Annotated[str | None, typer.Argument(help="The four digits that open this user.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the code of this user.")] = False,
    register: Annotated[
        bool, typer.Option("--register", help="Have the meter make a new user, and wait for it.")
    ] = False,
    within_s: Annotated[float, typer.Option("--within", min=1, max=3600, help="How many seconds to wait.")] = 300.0,
) -> None:
    """Keep the code of one user of a shared meter: many a scale gives nothing without. Nothing in it is ever deleted."""
    from gateway.new_user import make_user
    from gateway.user_codes import UserCodes
    from vitals.errors import MalformedError

    if (index is None) is not register or (code is None) is not (remove or register):
        typer.echo("give a number and a code, a number and --remove, or --register", err=True)
        raise typer.Exit(2)
    try:
        if index is None:
            raise typer.Exit(0 if make_user(path.parent, meter, say=typer.echo, within_s=within_s) else 1)
        UserCodes(path.parent).store(meter, index, code)
    except (MalformedError, OSError) as e:
        typer.echo(str(e), err=True)
        raise typer.Exit(1) from None
    typer.echo(
        "forgotten" if remove else "kept; it is used the next time the meter is heard; the status says what came of it"
    )


@app.command()
def pair(
    meter: Annotated[str, typer.Argument(help="The meter's address, such as C4:64:E3:00:00:01.")],
    path: OutboxPath,
    within_s: Annotated[float, typer.Option("--within", min=1, help="How many seconds to wait.")] = 300.0,
) -> None:
    """Help a meter to pair that shows a code, or wants one typed: wait for it beside the running gateway."""
    import asyncio

    from gateway.pairing_desk import help_to_pair
    from vitals.errors import MalformedError, UnavailableError

    waiting = help_to_pair(path.parent, meter, say=typer.echo, ask=input, within_s=within_s)
    try:
        is_paired = asyncio.run(waiting)
    except (MalformedError, UnavailableError) as e:
        typer.echo(str(e), err=True)
        raise typer.Exit(1) from None
    typer.echo("paired" if is_paired else "not paired")
    raise typer.Exit(0 if is_paired else 1)


IdentityPath = Annotated[
    Path,
    typer.Option("--identity", envvar="HOMEVIGIL_GATEWAY_IDENTITY", help="Where it is written.", show_envvar=True),
]


@app.command()
def enrol(
    identity: IdentityPath,
    invitation: Annotated[
        str | None, typer.Argument(help="The text of the clinic's QR: homevigil://…", show_default=False)
    ] = None,
    host: Annotated[str | None, typer.Option(help="The clinic's door, where there is no QR.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8443,
    gateway: Annotated[str | None, typer.Option(help="Which gateway this box is to be.")] = None,
    code: Annotated[str | None, typer.Option(help="Six letters and digits.")] = None,
    pin: Annotated[str | None, typer.Option(help="The clinic's authority: 64 hex digits.")] = None,
) -> None:
    """Become the clinic's gateway, by the QR of `homevigil server gateway claim` or by what it says. May be said again."""
    from gateway.invited import become

    raise typer.Exit(
        become(identity, invitation=invitation, host=host, port=port, gateway_id=gateway, code=code, pin=pin)
    )


def _counts(path: Path) -> dict[str, Any]:
    from dataclasses import asdict

    from gateway.errors import OutboxVersionError
    from gateway.outbox import read_counts
    from vitals.errors import UnavailableError

    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        typer.echo(f"there is no outbox at {path}; the gateway makes it when it first runs", err=True)
        raise typer.Exit(1)
    try:
        return asdict(read_counts(path))
    except (OutboxVersionError, UnavailableError) as e:
        typer.echo(str(e), err=True)
        raise typer.Exit(1) from None


def _print(facts: dict[str, Any], *, as_json: bool, indent: str = "") -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            typer.echo(f"{indent}{name}:")
            _print(value, as_json=False, indent=indent + "  ")
        else:
            typer.echo(f"{indent}{name.replace('_', ' ')}: {value}")


def main() -> None:
    app()
