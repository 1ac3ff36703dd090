"""`homevigil-gateway enrol`: asks the person at the terminal for what the clinic's invitation says, and says what came of it."""

import re
from pathlib import Path
from typing import Final

import typer

from gateway.clock import Clock
from gateway.enrolment import RefusedError, enrol, find_clinic, pin_of
from gateway.identity import end_in_words, read_identity
from vitals.enrolment import Invitation, parse_invitation, spoken_pin
from vitals.errors import MalformedError, UnavailableError

GROUPS: Final = 4
"""How much of a fingerprint a person types: 64 bits, so that nobody makes another authority that begins alike."""


def become(
    folder: Path,
    *,
    invitation: str | None,
    host: str | None,
    port: int,
    gateway_id: str | None,
    code: str | None,
    pin: str | None,
) -> int:
    """The exit code: 0 if this box is the gateway now, 1 if not, 2 if what was said cannot be understood."""
    try:
        if invitation is not None:
            wanted = parse_invitation(invitation)
        elif host is None or gateway_id is None or code is None:
            typer.echo("give the text of the QR, or --host, --gateway and --code", err=True)
            return 2
        else:
            known = re.sub(r"[\s:]", "", pin).lower() if pin else _ask_pin(host, port)
            wanted = parse_invitation(
                Invitation(host=host, port=port, gateway_id=gateway_id, code=code.strip().upper(), pin=known).text
            )
    except MalformedError as e:
        typer.echo(e.message, err=True)
        return 2
    except UnavailableError as e:
        typer.echo(str(e), err=True)
        return 1
    return _enrol(folder, wanted)


def _enrol(folder: Path, wanted: Invitation) -> int:
    before = None
    try:
        before = read_identity(folder)
        if before is not None and before.facts.gateway_id != wanted.gateway_id:
            typer.echo(
                f"this box is {before.facts.gateway_id}: what waits in its outbox would be sent in another's name. Let it"
                f" send everything (`homevigil-gateway outbox`), then move the outbox and {folder} away",
                err=True,
            )
            return 1
    except MalformedError:
        pass  # enrolling again is what mends it
    try:
        made = enrol(folder, wanted, is_time_known=Clock().is_believable())
    except RefusedError as e:
        typer.echo(str(e), err=True)
        if before is not None:  # as after a power cut just when all was done
            until = end_in_words(before.facts, Clock().now())
            typer.echo(f"this box is {before.facts.gateway_id} already; its certificate {until}", err=True)
        return 1
    except UnavailableError as e:
        typer.echo(str(e), err=True)
        return 1
    except MalformedError as e:
        typer.echo(e.message, err=True)
        return 1
    except OSError as e:
        typer.echo(f"{e}: {folder.parent} must be writable and have room; give the same command again", err=True)
        return 1
    facts = made.facts
    typer.echo(f"this box is {facts.gateway_id} now; it sends to {facts.mqtt_host}:{facts.mqtt_port}")
    typer.echo(f"its certificate is good until {facts.ends_at:%Y-%m-%d} and is renewed by itself")
    return 0


def _ask_pin(host: str, port: int) -> str:
    """No QR and no pin: a person types what the clinic says, and nothing is shown before. Raises `MalformedError` (`pin`)."""
    found = pin_of(find_clinic(host, port).authority)
    typed = typer.prompt(
        f"The first {GROUPS} groups of the authority's fingerprint, as the clinic says it (`homevigil server ca pin`)"
    )
    digits = re.sub(r"[\s:]", "", str(typed)).lower()
    if len(digits) < GROUPS * 4 or not found.startswith(digits):
        raise MalformedError("pin", f"{host}:{port} shows another: {spoken_pin(found)}. Nothing was told to it")
    return found
