"""`python -m server`: migrate, run, check. Heavy imports wait until a command needs them, so that `--help` is there at once."""

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from server.config import Settings

app = typer.Typer(
    help="HomeVigil's clinic side: takes readings in, judges them, tells people. Settings: HOMEVIGIL_SERVER_… variables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
webhook = typer.Typer(help="The clinic's own systems that are called when an alert opens.", no_args_is_help=True)
app.add_typer(webhook, name="webhook")


@app.command()
def migrate() -> None:
    """Bring the database to this build's schema; prints what was applied."""
    from server.errors import SchemaError, UnavailableError
    from server.store.migrate import migrate as apply

    settings = _settings()
    try:
        applied = apply(settings.database_url.get_secret_value())
    except (SchemaError, UnavailableError) as e:
        _fail(str(e))
    for name in applied:
        typer.echo(name)
    if not applied:
        typer.echo("nothing to apply")


@app.command()
def run(
    role: Annotated[str, typer.Option(help="Any of intake, judge, push, web, with commas.")] = "intake,judge,push,web",
) -> None:
    """Play one or more roles until SIGTERM or SIGINT. Intake: one process; the others: as many as you like."""
    from server import app as server

    roles = frozenset(filter(None, (word.strip() for word in role.split(","))))
    unknown = sorted(roles - set(server.ROLES))
    if unknown or not roles:
        _fail(f"no role {', '.join(unknown) or 'given'}; there are {', '.join(server.ROLES)}", code=2)
    settings = _settings()
    raise typer.Exit(server.run(settings, roles))


@app.command(name="warm-up")
def warm_up() -> None:
    """Compile the rules' kernels into the cache, once, at installation, instead of at the first reading."""
    from server.rules.kernels import warm_up as compile_kernels

    compile_kernels()


@app.command()
def check() -> None:
    """Check that every reading received is stored, repeated or quarantined, by counting; exit 1 if one is not."""
    from server.errors import UnavailableError
    from server.store.intake import check_accounts
    from server.store.postgres import in_transaction, open_pool

    settings = _settings()
    with open_pool(settings.database_url.get_secret_value()) as pool:
        try:
            wrong = in_transaction(pool, check_accounts)
        except UnavailableError as e:
            _fail(str(e))
    for account in wrong:
        typer.echo(
            f"{account.gateway_id}: received {account.received}, stored {account.stored} ({account.rows_stored} rows), "
            f"repeated {account.repeated}, quarantined {account.quarantined} ({account.rows_quarantined} rows)"
        )
    if wrong:
        raise typer.Exit(1)
    typer.echo("received = stored + repeated + quarantined, for every gateway")


@app.command(
    name="user", add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def user(context: typer.Context) -> None:
    """People who may log in."""
    from server.people.commands import app as people

    people(args=context.args, prog_name="server user")


@webhook.command(name="add")
def add_webhook(url: Annotated[str, typer.Argument(help="https://… of the system to call.")]) -> None:
    """Call this address when an alert opens; prints the secret that the receiver checks signatures with, once."""
    import base64
    import secrets

    from server.errors import MalformedError, UnavailableError
    from server.push.webhook import checked_url
    from server.store import pushes
    from server.store.postgres import in_transaction, open_pool

    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    settings = _settings()
    try:
        checked_url(url)
        with open_pool(settings.database_url.get_secret_value()) as pool:
            webhook_id = in_transaction(pool, lambda conn: pushes.add_webhook(conn, url=url, secret=secret))
    except (MalformedError, UnavailableError) as e:
        _fail(str(e))
    typer.echo(f"webhook {webhook_id}: {secret}")


@webhook.command(name="list")
def list_webhooks() -> None:
    """Which addresses are called."""
    from server.errors import UnavailableError
    from server.store import pushes
    from server.store.postgres import in_transaction, open_pool

    settings = _settings()
    try:
        with open_pool(settings.database_url.get_secret_value()) as pool:
            found = in_transaction(pool, pushes.list_webhooks)
    except UnavailableError as e:
        _fail(str(e))
    for webhook_id, url, active in found:
        typer.echo(f"{webhook_id} {'active' if active else 'off   '} {url}")


def _settings() -> "Settings":
    """The settings; logs go to stderr as they say."""
    from pydantic import ValidationError

    from server.config import Settings
    from server.log import log_as_json

    try:
        settings = Settings()  # type: ignore[call-arg]  # they come from the environment
    except ValidationError as e:
        wrong = "; ".join(
            f"HOMEVIGIL_SERVER_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in e.errors()
        )
        _fail(wrong, code=2)
    log_as_json(settings.log_level)
    return settings


def _fail(why: str, code: int = 1) -> NoReturn:
    typer.echo(why, err=True)
    raise typer.Exit(code)
