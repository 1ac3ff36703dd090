"""`python -m server program add|list|remove`: other houses' programs that read by FHIR in the name of an account here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.enrolment_commands import JsonOption
from server.terminal import RefusedError, in_database, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.store.postgres import Connection
    from server.store.programs import ListedProgram

app = typer.Typer(
    help="Programs of other houses that read by FHIR: SMART Backend Services.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the program calls itself: its client id.")]
ByOption = Annotated[str, typer.Option("--by", metavar="LOGIN", help="Who says so.")]


@app.command("add")
def add_program(
    name: NameArgument,
    login: Annotated[str, typer.Option("--as", metavar="LOGIN", help="The account whose panel it sees.")],
    keys: Annotated[
        Path,
        typer.Option(
            "--keys", metavar="FILE", help="Its public keys: a JSON Web Key Set.", exists=True, dir_okay=False
        ),
    ],
    by: ByOption,
) -> None:
    """Let a program read what an account sees; for one that is there, these keys replace the old ones."""
    from server.people import programs

    text = keys.read_text(encoding="utf-8")

    def work(conn: "Connection") -> None:
        programs.add(conn, name, login=login, key_set=text, actor=f"cli:{by}", now=clock.now())

    in_database(work)
    typer.echo(f"{name} reads what {login} sees")


@app.command("list")
def list_programs(as_json: JsonOption = False) -> None:
    """Every program that there was, with the account in whose name it reads."""
    from server.store import programs as store

    found: Sequence[ListedProgram] = in_database(store.list_programs)
    if as_json:
        print_json(list(found))
        return
    for each in found:
        state = "reads" if each.is_active else "no longer"
        typer.echo(
            f"{each.program_id:<24} {state:<9} as {each.login:<16} {each.keys} keys, since {each.added_at:%Y-%m-%d}"
        )


@app.command("remove")
def remove_program(name: NameArgument, by: ByOption) -> None:
    """From now on it gets no token; one that it has ends within five minutes."""
    from server.people import programs

    def work(conn: "Connection") -> None:
        if not programs.remove(conn, name, actor=f"cli:{by}", now=clock.now()):
            raise RefusedError(f"there is no program {name!r} in force")

    in_database(work)
    typer.echo(f"{name} reads no longer")
