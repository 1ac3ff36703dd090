"""`python -m server research`: records for research, under other names, of those who have agreed, when two people let it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from server.terminal import fail, in_database, print_json, read_password

if TYPE_CHECKING:
    from server.people.research import Actor, Made
    from server.store.postgres import Connection

T = TypeVar("T")

app = typer.Typer(
    rich_markup_mode=None,
    help="Records for research, under other names, of those who have agreed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.", show_default=False)]
By = Annotated[str, typer.Option(help="The login of the doctor or admin who does this.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def ask(
    name: Name,
    purpose: Annotated[str, typer.Option(help="What is to be found out; it stands in every export.")],
    by: By,
    password_stdin: PasswordStdin = False,
) -> None:
    """Ask for a project; a second person lets it begin."""
    from server.people import research

    _signed(by, password_stdin, lambda conn, actor: research.ask(conn, actor, name=name, purpose=purpose))
    typer.echo(f"{name} waits for a second person: `server research approve {name} --by LOGIN`")


@app.command()
def approve(name: Name, by: By, password_stdin: PasswordStdin = False) -> None:
    """Let a project begin that somebody else has asked for."""
    from server.people import research

    _signed(by, password_stdin, lambda conn, actor: research.approve(conn, actor, name))
    typer.echo(f"{name} may begin")


@app.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option(help="The folder to write; it must not be there yet.")],
    by: By,
    at_least: Annotated[int, typer.Option(help="Of how many patients whatever is told is true; 5 or more.")] = 5,
    password_stdin: PasswordStdin = False,
    as_json: AsJson = False,
) -> None:
    """Write Parquet files of everybody who has agreed to research, under the project's names and with other dates."""
    from server.people import research

    half = out.with_name(f"{out.name}.part")
    if out.exists():
        fail(f"{out} is there already: name another folder")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700, parents=True)
    try:
        made = _signed(
            by, password_stdin, lambda conn, actor: research.export(conn, actor, name, half, at_least=at_least)
        )
        half.rename(out)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    if as_json:
        print_json(made)
        return
    _say(made, out)


@app.command()
def gone(name: Name, as_json: AsJson = False) -> None:
    """By the project's names: whom it was given earlier and has to delete, because they took it back or were erased."""
    from server.people import research
    from server.people.errors import PeopleError

    try:
        found = in_database(lambda conn: research.gone(conn, name))
    except PeopleError as e:
        fail(str(e))
    if as_json:
        print_json(found)
        return
    for each in found:
        typer.echo(each)


@app.command()
def end(name: Name, by: By, password_stdin: PasswordStdin = False) -> None:
    """End a project and destroy its key: nobody can say any more who was who."""
    from server.people import research

    _signed(by, password_stdin, lambda conn, actor: research.end(conn, actor, name))
    typer.echo(f"{name} has ended; from backups its key goes with the next `vault rotate`")


@app.command(name="list")
def list_projects(as_json: AsJson = False) -> None:
    """Every project: who asked, who let it begin, what it was given."""
    from server.people import research

    found = in_database(research.projects)
    if as_json:
        print_json(found)
        return
    for each in found:
        state = "ended" if each.ended_at else "waits for a second person" if each.approved_by is None else "may export"
        typer.echo(f"{each.name:<24} {state:<26} asked by {each.asked_by}, exports {each.exports}: {each.purpose}")


def _signed(by: str, password_stdin: bool, work: "Callable[[Connection, Actor], T]") -> T:
    from server import clock
    from server.people import accounts
    from server.people.errors import PeopleError
    from server.people.research import Actor

    password = read_password(is_piped=password_stdin)

    def signed(conn: "Connection") -> T:
        user = accounts.sign(conn, login=by, password=password)
        return work(conn, Actor(user_id=user.user_id, role=user.role, now=clock.now()))

    try:
        return in_database(signed)
    except PeopleError as e:
        fail(str(e))


def _say(made: "Made", out: Path) -> None:
    crowd = made.crowd
    typer.echo(f"{out}: {made.patients} patients, {made.readings} readings, {made.alerts} alerts")
    typer.echo(
        f"not told, for too few share it: zone of {crowd.without_zone}, age of {crowd.without_age},"
        f" sex of {crowd.without_sex}, {made.hidden_conditions} conditions; left out: {crowd.left_out}"
    )
    typer.echo(f"to be deleted from earlier exports: {made.gone} (delete.csv)")
    typer.echo(f"SHA-256 of manifest.json, as in the audit: {made.digest}")
