"""`python -m server gateway claim|revoke`: who becomes a gateway, and who is one no longer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.enrolment_commands import ByOption, GatewayArgument, JsonOption, account_of, gateway_of
from server.remote_commands import gateways
from server.terminal import fail, in_database, load_settings, print_json
from vitals.errors import UnavailableError

if TYPE_CHECKING:
    from server.config import Settings
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
        return make_claim(conn, authority, gateway_id=gateway_id, by=by, now=clock.now(), reserved=reserved)

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


@gateways.command("revoke")
def revoke_gateway(gateway_id: GatewayArgument) -> None:
    """Listen to a gateway no longer, for one that was lost or stolen. What it sends goes to quarantine, unanswered."""
    from server.store import certificates, enrolment

    secrets = secrets_of(load_settings())

    def work(conn: "Connection") -> int:
        gateway_of(conn, gateway_id)
        enrolment.set_gateway_state(conn, gateway_id, "revoked")
        revoked = certificates.revoke(conn, gateway_id, now=clock.now())
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
