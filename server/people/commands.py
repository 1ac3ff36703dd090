"""`python -m server user`: accounts, panels and patient links, for whoever runs the clinic's server.

A password is read from a prompt or from standard input, never from the command line, where others can see it.
"""

import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.terminal import fail, in_database, load_settings, note_deed, operator

if TYPE_CHECKING:
    from server.people.accounts import Language, Role
    from server.store.postgres import Connection
else:
    from typing import Literal

    Role = Literal["doctor", "nurse", "patient", "admin", "auditor"]
    Language = Literal["zh", "en"]

app = typer.Typer(
    help="People who may sign in, whom they see, and patients' own links.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command(name="add")
def add_user(
    login: Annotated[str, typer.Argument(help="What the person types to sign in.")],
    name: Annotated[str, typer.Option("--name", help="The name that others see.")],
    role: Annotated[Role, typer.Option(help="What the person does at the clinic.")] = "doctor",
    language: Annotated[Language, typer.Option(help="The language of the pages.")] = "zh",
    patient_id: Annotated[
        int | None, typer.Option("--patient", help="Of a patient's own account: whose. It sees that patient alone.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
    ] = False,
) -> None:
    """Add an account; asks for its password twice."""
    from server.people import accounts
    from server.people.errors import LoginTakenError, NotOnPanelError, WeakPasswordError

    if (role == "patient") != (patient_id is not None):
        fail("a patient's own account, and no other, is bound to a patient: --role patient --patient NUMBER")
    password = (
        sys.stdin.readline().rstrip("\r\n")
        if password_stdin
        else typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    )

    def work(conn: "Connection") -> int:
        if patient_id is not None and not _has_patient(conn, patient_id):
            raise NotOnPanelError(f"no patient {patient_id}")
        user_id = accounts.add_user(
            conn,
            login=login,
            display_name=name,
            role=role,
            password=password,
            language=language,
            now=clock.now(),
            patient_id=patient_id,
        )
        note_deed(conn, "account.add", subject=f"user:{user_id}", role=role)
        return user_id

    try:
        user_id = in_database(work)
    except (LoginTakenError, NotOnPanelError, WeakPasswordError) as e:
        fail(str(e))
    typer.echo(f"user {user_id}: {login}")


@app.command(name="list")
def list_users(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """Every account."""
    from server.people import accounts

    users = in_database(accounts.list_users)
    if as_json:
        shown = ("user_id", "login", "display_name", "role", "language", "active")
        typer.echo(json.dumps([{key: getattr(user, key) for key in shown} for user in users], ensure_ascii=False))
        return
    for user in users:
        typer.echo(f"{user.user_id:>5} {user.login:<24} {user.role:<7} {user.language} {user.display_name}")


@app.command(name="see")
def let_see(
    login: Annotated[str, typer.Argument(help="Whose panel.")],
    patient_id: Annotated[int, typer.Argument(help="The patient to put on it.")],
) -> None:
    """Put a patient on somebody's panel. A patient's own doctor sees the patient without this."""
    from server.people import accounts, panels

    def work(conn: "Connection") -> bool:
        user = next((user for user in accounts.list_users(conn) if user.login == login), None)
        if user is None or not _has_patient(conn, patient_id):
            return False
        panels.add(conn, user_id=user.user_id, patient_id=patient_id)
        note_deed(conn, "panel.add", patient_id=patient_id, subject=f"user:{user.user_id}")
        return True

    if not in_database(work):
        fail(f"no account {login!r}, or no patient {patient_id}")
    typer.echo(f"{login} sees patient {patient_id}")


@app.command(name="patient-link")
def issue_link(
    patient_id: Annotated[int, typer.Argument(help="Whose page it opens.")],
    valid_days: Annotated[int, typer.Option(min=1, max=400, help="How long it opens it.")] = 90,
) -> None:
    """Print a link to the patient's own page. It cannot be shown again; whoever has it sees the page."""
    from server.people import links

    def work(conn: "Connection") -> str | None:
        if not _has_patient(conn, patient_id):
            return None
        valid_for = timedelta(days=valid_days)
        return links.issue_patient_link(conn, patient_id, now=clock.now(), valid_for=valid_for, by=operator())

    token = in_database(work)
    if token is None:
        fail(f"no patient {patient_id}")
    settings = load_settings()
    base = settings.public_url or f"http://{settings.web_host}:{settings.web_port}"
    typer.echo(f"{base}/me/{token}")


@app.command(name="revoke-links")
def revoke_links(patient_id: Annotated[int, typer.Argument(help="Whose links.")]) -> None:
    """End every link of a patient, for a phone that was lost."""
    from server.people import links

    ended = in_database(lambda conn: links.revoke_patient_links(conn, patient_id, now=clock.now(), by=operator()))
    typer.echo(f"ended: {ended}")


def _has_patient(conn: "Connection", patient_id: int) -> bool:
    from server.store import worklist

    return worklist.find_patient(conn, patient_id, now=clock.now()) is not None
