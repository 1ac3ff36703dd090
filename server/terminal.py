"""What every command does alike: read the settings, work in one transaction, and say in words what cannot be done.

Imports nothing heavy before it is used, so that `--help` is there at once.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from server.config import Settings
    from server.store.postgres import Connection, Pool

T = TypeVar("T")


class RefusedError(Exception):
    """What was asked cannot be done as things are; the message says why, and what to do."""


def load_settings() -> "Settings":
    """The settings; logs go to stderr as they say. Wrong ones end the command with 2."""
    from pydantic import ValidationError

    from server.config import Settings
    from server.log import log_as_json

    try:
        settings = Settings()  # type: ignore[call-arg]  # they come from the environment
    except ValidationError as e:
        wrong = "; ".join(
            f"HOMEVIGIL_SERVER_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in e.errors()
        )
        fail(wrong, code=2)
    log_as_json(settings.log_level)
    return settings


def in_database(work: "Callable[[Connection], T]") -> T:
    """`work` in one transaction of the clinic's database; what it refuses is undone, said, and ends the command with 1."""
    from server.store.postgres import in_transaction

    return in_pool(lambda pool: in_transaction(pool, work))


def in_pool(work: "Callable[[Pool], T]") -> T:
    """As `in_database`, for what takes several transactions."""
    from server.errors import MalformedError, SchemaError, UnavailableError, VaultError
    from server.store.migrate import pending
    from server.store.postgres import open_pool

    database_url = load_settings().database_url.get_secret_value()
    try:
        if behind := pending(database_url):
            fail(f"the database lacks {behind[0]}: `server migrate` brings it to this build")
        with open_pool(database_url) as pool:
            return work(pool)
    except MalformedError as e:
        fail(e.message)
    except (RefusedError, SchemaError, UnavailableError, VaultError) as e:
        fail(str(e))


def operator() -> str:
    """Who types here, as the audit names them: the account of the machine."""
    import getpass

    return f"cli:{getpass.getuser()}"


def read_password(*, is_piped: bool) -> str:
    """The password that is typed, or the first line of standard input."""
    return sys.stdin.readline().rstrip("\r\n") if is_piped else str(typer.prompt("Password", hide_input=True))


def note_deed(
    conn: "Connection", act: str, *, patient_id: int | None = None, subject: str = "", **facts: object
) -> None:
    """Write down what is done here, in its own transaction."""
    from server import clock
    from server.store import audit

    audit.note(conn, actor=operator(), act=act, at=clock.now(), patient_id=patient_id, subject=subject, detail=facts)


def print_json(found: object) -> None:
    """Dataclasses, and what holds them, on one line; instants as ISO 8601."""
    import msgspec

    typer.echo(msgspec.json.encode(found).decode())


def fail(why: str, code: int = 1) -> NoReturn:
    typer.echo(why, err=True)
    raise typer.Exit(code)
