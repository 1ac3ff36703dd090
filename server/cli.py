"""`python -m server`: migrate, run, check. Heavy imports wait until a command needs them, so that `--help` is there at once."""

from typing import Annotated

import typer

from server.terminal import fail, in_database, load_settings, note_deed

app = typer.Typer(
    rich_markup_mode=None,
    help="HomeVigil's clinic side: takes readings in, judges them, tells people. Settings: HOMEVIGIL_SERVER_… variables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
webhook = typer.Typer(
    rich_markup_mode=None, help="The clinic's own systems that are called when an alert opens.", no_args_is_help=True
)
app.add_typer(webhook, name="webhook")

WebhookArgument = Annotated[int, typer.Argument(metavar="WEBHOOK", help="Its number, as `webhook list` says it.")]

# A word with commands of its own, which are imported when it is said.
_group = app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})


@app.command()
def migrate() -> None:
    """Bring the database to this build's schema; prints what was applied."""
    from server.errors import SchemaError, UnavailableError, VaultError
    from server.store.migrate import migrate as apply

    settings = load_settings()
    try:
        applied = apply(settings.database_url.get_secret_value())
    except (SchemaError, UnavailableError, VaultError) as e:
        fail(str(e))
    for name in applied:
        typer.echo(name)
    if not applied:
        typer.echo("nothing to apply")


@app.command()
def run(
    role: Annotated[
        str, typer.Option(help="Any of intake, judge, push, web, watch, enrol, with commas.")
    ] = "intake,judge,push,web,watch",
) -> None:
    """Play one or more roles until SIGTERM or SIGINT. Intake: one process; the others: as many as you like."""
    from server import app as server

    roles = frozenset(filter(None, (word.strip() for word in role.split(","))))
    unknown = sorted(roles - set(server.ALL_ROLES))
    if unknown or not roles:
        fail(f"no role {', '.join(unknown) or 'given'}; there are {', '.join(server.ALL_ROLES)}", code=2)
    settings = load_settings()
    raise typer.Exit(server.run(settings, roles))


@app.command()
def openapi() -> None:
    """Print the HTTP API's description, OpenAPI 3.1."""
    import json

    from server.asgi import describe

    typer.echo(json.dumps(describe(), ensure_ascii=False, indent=1))


@app.command()
def asyncapi() -> None:
    """Print the MQTT side's description, AsyncAPI 3."""
    import json

    from server.api.asyncapi import describe

    typer.echo(json.dumps(describe(), ensure_ascii=False, indent=1))


@app.command(name="warm-up")
def warm_up() -> None:
    """Compile the rules' kernels into the cache, once, at installation, instead of at the first reading."""
    from server.rules.ready import warm_up as compile_kernels

    compile_kernels()


@app.command()
def check() -> None:
    """Check that every reading received is stored, repeated or quarantined, by counting; exit 1 if one is not."""
    from server.store.intake import check_accounts

    wrong = in_database(check_accounts)
    for account in wrong:
        typer.echo(
            f"{account.gateway_id}: received {account.received}, stored {account.stored} ({account.rows_stored} rows), "
            f"repeated {account.repeated}, quarantined {account.quarantined} ({account.rows_quarantined} rows)"
        )
    if wrong:
        raise typer.Exit(1)
    typer.echo("received = stored + repeated + quarantined, for every gateway")


@_group
def user(context: typer.Context) -> None:
    """People who may log in."""
    from server.people.commands import app as people

    people(args=context.args, prog_name="server user")


@_group
def program(context: typer.Context) -> None:
    """Other houses' programs that read by FHIR: add one with its keys, list them, remove one."""
    from server.program_commands import app as programs

    programs(args=context.args, prog_name="server program")


@_group
def gateway(context: typer.Context) -> None:
    """Boxes in homes: enrol one, give it a code, list them, set one from afar, ask how it is, stop listening to one."""
    from server.claim_commands import gateways

    gateways(args=context.args, prog_name="server gateway")


@_group
def ca(context: typer.Context) -> None:
    """The clinic's own certificate authority: make it, renew what it has signed, write the broker's list of the revoked."""
    from server.trust.commands import app as authority

    authority(args=context.args, prog_name="server ca")


@_group
def patient(context: typer.Context) -> None:
    """People who are watched: enrol one, list them."""
    from server.enrolment_commands import patients

    patients(args=context.args, prog_name="server patient")


@_group
def meter(context: typer.Context) -> None:
    """Whose a meter is: bind one, unbind one, list them."""
    from server.enrolment_commands import meters

    meters(args=context.args, prog_name="server meter")


@_group
def quarantine(context: typer.Context) -> None:
    """What could not become a reading: list it, take in what has found its patient."""
    from server.quarantine_commands import app as waiting

    waiting(args=context.args, prog_name="server quarantine")


@_group
def report(context: typer.Context) -> None:
    """A patient's report as PDF or JSON: blood pressure, glucose."""
    from server.report_commands import app as reports

    reports(args=context.args, prog_name="server report")


@_group
def consent(context: typer.Context) -> None:
    """What patients have agreed to: give, withdraw, list, and what they are asked."""
    from server.privacy_commands import consents

    consents(args=context.args, prog_name="server consent")


@_group
def erase(context: typer.Context) -> None:
    """Take a patient out of everything, and destroy what names them unless the law has it kept."""
    from server.privacy_commands import erasures

    erasures(args=context.args, prog_name="server erase")


@_group
def export(context: typer.Context) -> None:
    """All that is known about a patient, to be given to them."""
    from server.privacy_commands import exports

    exports(args=context.args, prog_name="server export")


@_group
def hold(context: typer.Context) -> None:
    """Whose record may not be erased, and why: add, end, list."""
    from server.privacy_commands import holds

    holds(args=context.args, prog_name="server hold")


@_group
def retention(context: typer.Context) -> None:
    """Who is kept under seal because the law says so, and until when."""
    from server.privacy_commands import retention as kept

    kept(args=context.args, prog_name="server retention")


@_group
def research(context: typer.Context) -> None:
    """Records for research, under other names, of those who have agreed: ask, approve, export, gone, end, list."""
    from server.research_commands import app as studies

    studies(args=context.args, prog_name="server research")


@_group
def vault(context: typer.Context) -> None:
    """The key to the patients' keys: make it, check it, put a new one in its place."""
    from server.vault_commands import app as keys

    keys(args=context.args, prog_name="server vault")


@_group
def channel(context: typer.Context) -> None:
    """The ways to people outside the house: set one up, try it, list them, say who is reached where."""
    from server.channel_commands import app as channels

    channels(args=context.args, prog_name="server channel")


@_group
def ladder(context: typer.Context) -> None:
    """Who is told next when nobody acknowledges: show the ladders, set the clinic's own."""
    from server.push.commands import ladders

    ladders(args=context.args, prog_name="server ladder")


@app.command(
    name="quiet-hours",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def quiet_hours(context: typer.Context) -> None:
    """When nothing but what is urgent is told: list them, set them."""
    from server.push.commands import quiet_hours as hours

    hours(args=context.args, prog_name="server quiet-hours")


@_group
def recompute(context: typer.Context) -> None:
    """Compute every alert of the last days anew, by other means, and compare with what is stored."""
    from server.recompute_commands import app as again

    again(args=context.args, prog_name="server recompute")


@_group
def audit(context: typer.Context) -> None:
    """Who did what and saw whom: seal it, verify that nobody has changed it, list it, export it as evidence."""
    from server.audit.commands import app as trail

    trail(args=context.args, prog_name="server audit")


@_group
def programme(context: typer.Context) -> None:
    """The figures of the house: control rate, adherence, alerts and what became of them."""
    from server.programme.commands import app as figures

    figures(args=context.args, prog_name="server programme")


@webhook.command(name="add")
def add_webhook(url: Annotated[str, typer.Argument(help="https://… of the system to call.")]) -> None:
    """Call this address when an alert opens; prints the secret that the receiver checks signatures with, once."""
    from server.errors import MalformedError
    from server.push.addresses import checked_url
    from server.store import pushes
    from server.store.postgres import Connection

    secret = _draw_secret()

    def work(conn: Connection) -> int:
        number = pushes.add_webhook(conn, url=url, secret=secret)
        note_deed(conn, "webhook.add", subject=str(number))
        return number

    try:
        checked_url(url, allow_private=load_settings().webhook_allow_private)
    except MalformedError as e:
        fail(str(e))
    typer.echo(f"webhook {in_database(work)}: {secret}")


@webhook.command(name="rotate")
def rotate_webhook(
    webhook_id: WebhookArgument,
    hours: Annotated[int, typer.Option(min=0, max=720, help="So long the old secret signs as well.")] = 48,
) -> None:
    """Put a new secret in the old one's place; prints it, once. Until the hours are over calls carry both signatures."""
    from datetime import timedelta

    from server import clock
    from server.store import pushes
    from server.store.postgres import Connection

    secret = _draw_secret()

    def work(conn: Connection) -> bool:
        until = clock.now() + timedelta(hours=hours)
        is_there = pushes.rotate_webhook(conn, webhook_id, secret=secret, old_until=until)
        note_deed(conn, "webhook.rotate", subject=str(webhook_id), hours=hours)
        return is_there

    if not in_database(work):
        fail("there is no such webhook; `webhook list` says which there are")
    typer.echo(f"webhook {webhook_id}: {secret}")


@webhook.command(name="switch")
def switch_webhook(
    webhook_id: WebhookArgument,
    to: Annotated[str, typer.Argument(metavar="on|off", help="Call it, or call it no more.")],
) -> None:
    """Call it again, or no more."""
    from server.store import pushes
    from server.store.postgres import Connection

    if to not in ("on", "off"):
        fail("say on or off", code=2)

    def work(conn: Connection) -> bool:
        note_deed(conn, f"webhook.{to}", subject=str(webhook_id))
        return pushes.switch_webhook(conn, webhook_id, is_on=to == "on")

    if not in_database(work):
        fail("there is no such webhook; `webhook list` says which there are")


@webhook.command(name="list")
def list_webhooks() -> None:
    """Which addresses are called."""
    from server.store import pushes

    for webhook_id, url, active in in_database(pushes.list_webhooks):
        typer.echo(f"{webhook_id} {'active' if active else 'off   '} {url}")


def _draw_secret() -> str:
    """Of Standard Webhooks: 32 random bytes."""
    import base64
    import secrets

    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
