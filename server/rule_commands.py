"""`homevigil rules`: beside trying them out (`server.backtest_commands`), which rules judge, and who lets them.

A doctor's name alone approves nothing: the password is asked for, or read from standard input.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.backtest_commands import app
from server.terminal import RefusedError, fail, in_database, print_json, read_password

if TYPE_CHECKING:
    from server.people.rule_approvals import Judgment
    from server.store.postgres import Connection
    from server.store.rule_book import RuleVersion

__all__ = ["app"]

By = Annotated[str, typer.Option("--by", help="The login of the doctor who decides.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]
Note = Annotated[str, typer.Option(help="Why, for whoever asks later.")]
RuleId = Annotated[str, typer.Argument(help="The rule's id.")]


@app.command(name="status")
def show_status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """Which rules of this clinic are in force, since when and by whom; which wait. Exit code 1 if any waits, or none is."""
    found = in_database(_entered)
    if as_json:
        print_json(found)
    for each in () if as_json else found:
        typer.echo(_in_words(each))
    is_waiting = any(not each.is_decided for each in _newest(found))
    raise typer.Exit(1 if is_waiting or not any(each.is_in_force for each in found) else 0)


@app.command()
def approve(
    by: By,
    rule_id: Annotated[str | None, typer.Argument(help="The rule's id.")] = None,
    version: Annotated[int | None, typer.Option(help="Which version; default: the newest.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every rule about which nobody has decided yet.")] = False,
    note: Note = "",
    password_stdin: PasswordStdin = False,
) -> None:
    """Let a rule judge, word for word as it is; read it first (`rules list`). Everybody is judged again."""
    from server.people import rule_approvals

    if every == (rule_id is not None):
        fail("say which rule, or --all", code=2)
    password = read_password(is_piped=password_stdin)

    def work(conn: "Connection") -> "list[RuleVersion]":
        user_id, role = _sign(conn, by, password)
        if rule_id is None:
            _entered(conn)
            return list(rule_approvals.approve_waiting(conn, user_id=user_id, role=role, now=clock.now(), note=note))
        found = _find(conn, rule_id, version)
        rule_approvals.approve(conn, _judgment(found, user_id, role, note))
        return [found]

    for each in _decided(work):
        typer.echo(f"{each.rule_id} version {each.version}: in force")


@app.command()
def withdraw(
    rule_id: RuleId,
    by: By,
    version: Annotated[
        int | None, typer.Option(help="Which version; default: the one in force, else the newest.")
    ] = None,
    note: Note = "",
    password_stdin: PasswordStdin = False,
) -> None:
    """Let a rule judge no more; or decide against one that waits. Open alerts by it end; nobody is told that they were untrue."""
    from server.people import rule_approvals

    password = read_password(is_piped=password_stdin)

    def work(conn: "Connection") -> "list[RuleVersion]":
        user_id, role = _sign(conn, by, password)
        found = _find(conn, rule_id, version, is_in_force_first=True)
        rule_approvals.withdraw(conn, _judgment(found, user_id, role, note))
        return [found]

    for each in _decided(work):
        typer.echo(f"{each.rule_id} version {each.version}: not in force")


def _entered(conn: "Connection") -> "list[RuleVersion]":
    """Every version, this build's own among them."""
    from server.rules.load import load_catalog
    from server.store import rule_book

    rule_book.enter(conn, load_catalog())
    return list(rule_book.list_versions(conn))


def _newest(found: "list[RuleVersion]") -> "list[RuleVersion]":
    newest: dict[str, RuleVersion] = {}
    for each in found:
        newest.setdefault(each.rule_id, each)
    return list(newest.values())


def _find(conn: "Connection", rule_id: str, version: int | None, *, is_in_force_first: bool = False) -> "RuleVersion":
    mine = [each for each in _entered(conn) if each.rule_id == rule_id and version in (None, each.version)]
    if not mine:
        raise RefusedError(f"there is no rule {rule_id}" + ("" if version is None else f" version {version}"))
    in_force = [each for each in mine if each.is_in_force]
    return in_force[0] if is_in_force_first and in_force else mine[0]


def _sign(conn: "Connection", login: str, password: str) -> tuple[int, str]:
    """Whose account this is, and in what role."""
    from server.people import accounts

    user = accounts.sign(conn, login=login, password=password)
    return user.user_id, user.role


def _judgment(found: "RuleVersion", user_id: int, role: str, note: str) -> "Judgment":
    from server.people.rule_approvals import Judgment

    return Judgment(
        rule_id=found.rule_id,
        version=found.version,
        sha256=found.sha256,
        user_id=user_id,
        role=role,
        now=clock.now(),
        note=note[:500],
    )


def _decided(work: "Callable[[Connection], list[RuleVersion]]") -> "list[RuleVersion]":
    from server.people.errors import PeopleError

    try:
        return in_database(work)
    except PeopleError as e:
        fail(str(e))


def _in_words(each: "RuleVersion") -> str:
    if each.is_in_force:
        who = each.approved_by or "before there were approvals"
        state = f"in force since {each.approved_at:%Y-%m-%d %H:%M} UTC, approved by {who}"
    elif each.is_decided:
        state = f"not in force since {each.ended_at:%Y-%m-%d %H:%M} UTC, says {each.ended_by}"
    else:
        state = "waits for a doctor"
    return f"{each.rule_id}  v{each.version}  {each.sha256[:12]}  {state}"
