"""`python -m server user`: accounts, panels and patient links, for whoever runs the clinic's server.

A password is read from a prompt or from standard input, never from the command line, where others can see it.
"""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from server import clock
from server.terminal import RefusedError, fail, in_database, load_settings, note_deed, operator, print_json

if TYPE_CHECKING:
    from server.people.accounts import Language, Role
    from server.people.users import Invited, Keeper
    from server.store.postgres import Connection
else:
    Role = Literal["doctor", "nurse", "patient", "admin", "auditor"]
    Language = Literal["zh", "en"]

StaffRole = Literal["doctor", "nurse", "admin", "auditor"]
T = TypeVar("T")
Login = Annotated[str, typer.Argument(help="Whose account: the name to sign in with.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

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
    as_json: AsJson = False,
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
    _say(as_json, f"user {user_id}: {login}", user_id=user_id, login=login, role=role)


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
    as_json: AsJson = False,
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
    _say(as_json, f"{login} sees patient {patient_id}", login=login, patient_id=patient_id)


@app.command(name="patient-link")
def issue_link(
    patient_id: Annotated[int, typer.Argument(help="Whose page it opens.")],
    valid_days: Annotated[int, typer.Option(min=1, max=400, help="How long it opens it.")] = 90,
    as_json: AsJson = False,
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
    link = f"{_base()}/me/{token}"
    _say(as_json, link, patient_id=patient_id, link=link)


@app.command(name="revoke-links")
def revoke_links(patient_id: Annotated[int, typer.Argument(help="Whose links.")], as_json: AsJson = False) -> None:
    """End every link of a patient, for a phone that was lost."""
    from server.people import links

    ended = in_database(lambda conn: links.revoke_patient_links(conn, patient_id, now=clock.now(), by=operator()))
    _say(as_json, f"ended: {ended}", patient_id=patient_id, ended=ended)


@app.command(name="reset")
def reset(login: Login, as_json: AsJson = False) -> None:
    """Begin an account anew: password, passkeys and sessions end; prints the link by which its owner chooses a password.

    The link opens once, within three days, and is not shown again: hand it over as you would a key.
    """
    from server.people import users

    def work(conn: "Connection", by: "Keeper", user_id: int) -> "Invited":
        return users.reset(conn, by, user_id)

    user_id, invited = _do(login, work)
    link, until = f"{_base()}/welcome/{invited.token}", invited.expires_at.isoformat(timespec="minutes")
    _say(as_json, f"{link}\nopens once, until {until}", user_id=user_id, login=login, link=link, expires_at=until)


@app.command(name="close")
def close(login: Login, as_json: AsJson = False) -> None:
    """Close an account: nobody signs in to it any more, whoever is signed in is not. What was done under it stays."""
    from server.people import users

    user_id, _ = _do(login, users.close)
    _say(as_json, f"{login} is closed", user_id=user_id, login=login)


@app.command(name="reopen")
def reopen(login: Login, as_json: AsJson = False) -> None:
    """Open a closed account again, with the password and the passkeys that it had."""
    from server.people import users

    user_id, _ = _do(login, users.reopen)
    _say(as_json, f"{login} is open", user_id=user_id, login=login)


@app.command(name="sign-out")
def sign_out(login: Login, as_json: AsJson = False) -> None:
    """End every session of an account, for a screen that was left open or a device that was lost."""
    from server.people import users

    user_id, ended = _do(login, users.sign_out)
    _say(as_json, f"{login}: sessions ended: {ended}", user_id=user_id, login=login, sessions=ended)


@app.command(name="rename")
def rename(
    login: Login,
    name: Annotated[str, typer.Argument(help="The name that others see from now on.")],
    as_json: AsJson = False,
) -> None:
    """Change the name that others see; the name to sign in with stays."""
    from server.people import users

    user_id, _ = _do(login, lambda conn, by, user_id: users.rename(conn, by, user_id, name))
    _say(as_json, f"{login} is called {name.strip()}", user_id=user_id, login=login, display_name=name.strip())


@app.command(name="role")
def set_role(
    login: Login,
    role: Annotated[StaffRole, typer.Argument(help="What the person does from now on.")],
    as_json: AsJson = False,
) -> None:
    """Give an account another role; its sessions end, and who is neither doctor nor nurse any more sees no patient.

    A doctor who becomes a nurse sees the same patients and is nobody's own doctor. The last admin stays one.
    """
    from server.people import users

    user_id, lost = _do(login, lambda conn, by, user_id: users.set_role(conn, by, user_id, role))
    more = f"; patients whom it sees no longer: {lost} (/admin/panels names whom nobody sees now)" if lost else ""
    _say(as_json, f"{login} is {role}{more}", user_id=user_id, login=login, role=role, patients=lost)


@app.command(name="house")
def expect_of_house(
    login: Login,
    name: Annotated[str, typer.Argument(help="The name in the house's own sign-in; '' ends what is tied.")],
    as_json: AsJson = False,
) -> None:
    """Say by what name somebody comes from the house's own sign-in: who does within three days is this account from then on."""
    from server.people import users

    user_id, _ = _do(login, lambda conn, by, user_id: users.expect_of_house(conn, by, user_id, name))
    words = (
        f"{login}: expected as {name.strip()}" if name.strip() else f"{login}: nobody of the house's sign-in any more"
    )
    _say(as_json, words, user_id=user_id, login=login, name=name.strip())


def _do(login: str, deed: "Callable[[Connection, Keeper, int], T]") -> tuple[int, T]:
    """Whose account it is, and what came of the deed; what cannot be done is said in words and ends the command with 1."""
    from server.people import accounts
    from server.people.errors import PeopleError
    from server.people.users import Keeper

    def work(conn: "Connection") -> tuple[int, T]:
        found = next((user.user_id for user in accounts.list_users(conn) if user.login == login), None)
        if found is None:
            raise RefusedError(f"no account {login!r}; `server user list` names them")
        return found, deed(conn, Keeper(actor=operator(), now=clock.now()), found)

    try:
        return in_database(work)
    except PeopleError as e:
        fail(f"nothing was changed: {e}")


def _say(as_json: bool, words: str, **facts: object) -> None:
    if as_json:
        print_json(facts)
    else:
        typer.echo(words)


def _base() -> str:
    settings = load_settings()
    return settings.public_url or f"http://{settings.web_host}:{settings.web_port}"


def _has_patient(conn: "Connection", patient_id: int) -> bool:
    from server.store import worklist

    return worklist.find_patient(conn, patient_id, now=clock.now()) is not None
