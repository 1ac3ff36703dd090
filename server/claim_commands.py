"""`python -m server gateway list|claim|revoke|restore|history`: who becomes a gateway, who is one no longer, and who said so."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.enrolment_commands import (
    ByOption,
    GatewayArgument,
    JsonOption,
    account_of,
    checked_name,
    checked_reason,
    gateway_of,
    spoken_instant,
)
from server.remote_commands import gateways
from server.terminal import fail, in_database, load_settings, print_json
from vitals.errors import UnavailableError

if TYPE_CHECKING:
    from server.config import Settings
    from server.store.admissions import Standing
    from server.store.postgres import Connection
    from server.trust.folders import Secrets

__all__ = ["gateways"]
"""All commands about gateways, with those of this module."""


@gateways.command("claim")
def claim_gateway(
    gateway_id: GatewayArgument,
    by: ByOption,
    as_json: JsonOption = False,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the QR into this file, too.", dir_okay=False)
    ] = None,
) -> None:
    """A code by which one box becomes this gateway: good for 15 minutes, 5 tries, once. It is shown now and never again."""
    from server.trust.authority import INTAKE
    from server.trust.claims import make_claim
    from server.trust.invitations import show, write_svg
    from vitals.enrolment import Invitation, spoken_pin

    settings = load_settings()
    secrets = secrets_of(settings)
    if secrets is None or settings.enrol_public_host is None:
        fail("HOMEVIGIL_SERVER_SECRETS and HOMEVIGIL_SERVER_ENROL_PUBLIC_HOST are needed: see enrol-a-gateway", code=2)
    authority, reserved = secrets.authority(), (INTAKE, settings.watchdog_id)

    def work(conn: "Connection") -> str:
        gateway_of(conn, gateway_id)
        account_of(conn, by)
        return make_claim(conn, secrets.claim_key(), gateway_id=gateway_id, by=by, now=clock.now(), reserved=reserved)

    invitation = Invitation(
        host=settings.enrol_public_host,
        port=settings.enrol_port,
        gateway_id=gateway_id,
        code=in_database(work),
        pin=authority.pin,
    )
    if svg is not None:
        write_svg(invitation.text, svg)
    if as_json:
        print_json({"gateway_id": gateway_id, "code": invitation.code, "pin": invitation.pin, "text": invitation.text})
        return
    typer.echo(show(invitation.text))
    typer.echo(invitation.text)
    typer.echo(
        f"or type:    homevigil-gateway enrol --host {invitation.host} --gateway {gateway_id} --code {invitation.code}"
    )
    typer.echo(f"authority:  {spoken_pin(authority.pin)}")
    typer.echo("good for 15 minutes and one box")


@gateways.command("list")
def list_gateways(as_json: JsonOption = False) -> None:
    """Every gateway: its state, its zone, when it was last heard, and until when its certificate is good."""
    from server.store import admissions

    found = in_database(lambda conn: admissions.list_standings(conn, now=clock.now()))
    if as_json:
        print_json(found)
        return
    for each in found:
        heard = "never heard" if each.last_heard_at is None else f"heard {spoken_instant(each.last_heard_at)}"
        typer.echo(
            f"{each.gateway_id:<24} {each.state:<9} {each.zone:<20} {heard:<28} {_certificate_of(each)}".rstrip()
        )


def _certificate_of(standing: "Standing") -> str:
    said = []
    if standing.certificate_ends_at is None:
        pass  # the clinic's own authority has given it none
    elif standing.certificate_revoked_at is not None:
        said.append(f"certificate revoked {spoken_instant(standing.certificate_revoked_at)}")
    elif not standing.good_certificates:
        said.append(f"certificate ended {spoken_instant(standing.certificate_ends_at)}: enrol the box again")
    else:
        said.append(f"certificate until {standing.certificate_ends_at:%Y-%m-%d}")
    if standing.claim_open_until is not None:
        said.append(f"a code is open until {spoken_instant(standing.claim_open_until)}")
    return "; ".join(said)


@gateways.command("revoke")
def revoke_gateway(
    gateway_id: GatewayArgument,
    by: ByOption,
    reason: Annotated[
        str, typer.Option(callback=checked_reason, metavar="TEXT", help="Why, for whoever reads it later.")
    ],
) -> None:
    """Listen to a gateway no longer, for one that was lost or stolen. What it sends goes to quarantine, unanswered."""
    from server.trust import standing

    secrets = secrets_of(load_settings())

    def work(conn: "Connection") -> int:
        gateway_of(conn, gateway_id)
        account_of(conn, by)
        revoked = standing.revoke(conn, gateway_id, by=by, reason=reason, now=clock.now())
        if secrets is not None:
            secrets.write_list(conn, now=clock.now())
        return revoked

    revoked = in_database(work)
    if secrets is not None:
        typer.echo(
            f"gateway {gateway_id}: revoked, with {revoked} certificates; {secrets.list_path} is for the broker (SIGHUP)"
        )
    else:
        typer.echo(f"gateway {gateway_id}: revoked; put its certificate on the broker's list of revoked ones, too")


@gateways.command("restore")
def restore_gateway(gateway_id: GatewayArgument, by: ByOption) -> None:
    """Listen again to a gateway that was revoked, or suspended because it spoke in another's name."""
    from server.trust import standing

    def work(conn: "Connection") -> None:
        gateway_of(conn, gateway_id)
        account_of(conn, by)
        standing.restore(conn, gateway_id, by=by, now=clock.now())

    in_database(work)
    typer.echo(f"gateway {gateway_id}: active; it sends again what was not taken in")


@gateways.command("history")
def show_history(
    gateway_id: Annotated[
        str | None,
        typer.Argument(
            callback=lambda text: text and checked_name(text), metavar="[ID]", help="Of this gateway alone."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Who made codes, who claimed, renewed, was refused, revoked: the newest first. Nobody can change it."""
    from server.store import admissions

    found = in_database(lambda conn: admissions.list_events(conn, gateway_id))
    if as_json:
        print_json(found)
        return
    for each in found:
        who = each.by_login or each.asked_from or ""
        rest = ", ".join(part for part in (each.serial, each.detail) if part)
        typer.echo(f"{spoken_instant(each.at)} {each.gateway_id or '-':<24} {each.act:<20} {who:<16} {rest}".rstrip())


def secrets_of(settings: "Settings") -> "Secrets | None":
    """The clinic's own authority, where it has one."""
    from server.trust.folders import Secrets

    if settings.secrets is None:
        return None
    secrets = Secrets(Path(settings.secrets))
    try:
        secrets.authority()
    except UnavailableError as e:
        fail(str(e))
    return secrets
