"""`/rules`: which rules judge, word for word, who let them; and, for doctors, what waits, with what is different about it.

Everybody who is signed in may read by what people are judged. An approval names the text that was on the screen by its hash.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from server.people import rule_approvals
from server.people.decisions import NOTE_MAX
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NotAClinicianError, StaleVersionError
from server.people.rule_approvals import APPROVERS, Judgment
from server.people.rule_changes import Place, places
from server.store import rule_book, worklist
from server.store.postgres import Connection, in_transaction, transaction
from server.store.rule_book import RuleVersion
from server.web.rendering import render, words_of
from server.web.words import Words, mark

router: Final = APIRouter(prefix="/rules", include_in_schema=False)

REFUSED: Final = mark(
    "Nothing was changed: somebody else decided, or the text is another by now. Below it is shown as it is."
)
FOR_DOCTORS: Final = mark("Nothing was changed: only a doctor lets a rule judge, or ends it.")

RuleId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
Sha256 = Annotated[str, Form(pattern=r"^[0-9a-f]{64}$")]
Note = Annotated[str, Form(max_length=NOTE_MAX, pattern=r"^[^\x00]*$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One rule: what is in force of it, what waits, and what to read."""

    rule_id: str
    title: str
    source: str
    in_force: RuleVersion | None
    waiting: RuleVersion | None
    places: tuple[Place, ...]
    changes: tuple[Place, ...]
    life: tuple[str, ...]


@router.get("")
def show_rules(caller: SignedIn, request: Request) -> Response:
    return _page(caller, request)


@router.post("/{rule_id}/{version}/approve")
def approve(
    caller: SignedIn,
    request: Request,
    rule_id: RuleId,
    version: Version,
    sha256: Sha256,
    is_read: Annotated[Literal["yes"], Form()],
    note: Note = "",
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    """`is_read`: whoever approves says that they have read it."""
    assert is_read == "yes", "nothing else passes the door"
    judgment = _judgment(caller, rule_id, version, sha256, note)
    return _decide(caller, request, csrf_token, lambda conn: rule_approvals.approve(conn, judgment))


@router.post("/{rule_id}/{version}/withdraw")
def withdraw(
    caller: SignedIn,
    request: Request,
    rule_id: RuleId,
    version: Version,
    sha256: Sha256,
    note: Note = "",
    csrf_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    judgment = _judgment(caller, rule_id, version, sha256, note)
    return _decide(caller, request, csrf_token, lambda conn: rule_approvals.withdraw(conn, judgment))


def _judgment(caller: Caller, rule_id: str, version: int, sha256: str, note: str) -> Judgment:
    return Judgment(
        rule_id=rule_id,
        version=version,
        sha256=sha256,
        user_id=caller.user_id,
        role=caller.session.role,
        now=caller.now,
        note=note.strip(),
    )


def _decide(caller: Caller, request: Request, csrf_token: str, decide: Callable[[Connection], None]) -> Response:
    check_form(caller, request, csrf_token)
    words = words_of(request, caller)
    try:
        in_transaction(caller.house, decide)  # what judges is judged anew, whoever's patient it is
    except NotAClinicianError:
        return _page(caller, request, told=words.say(FOR_DOCTORS), status=403)
    except (StaleVersionError, DecisionConflictError):
        return _page(caller, request, told=words.say(REFUSED), status=412)
    return RedirectResponse("/rules", status_code=303)


def _page(caller: Caller, request: Request, *, told: str = "", status: int = 200) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        versions = rule_book.list_versions(conn)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    shown = [_shown(list(each), words) for _, each in groupby(versions, key=lambda version: version.rule_id)]
    shown.sort(key=lambda rule: (rule.waiting is None, rule.in_force is None, rule.rule_id))
    return render(
        request,
        "rules.html",
        words,
        caller=caller,
        unread=unread,
        status=status,
        told=told,
        rules=shown,
        waiting=sum(rule.waiting is not None for rule in shown),
        is_anything_in_force=any(rule.in_force is not None for rule in shown),
        may_decide=caller.session.role in APPROVERS,
        note_max=NOTE_MAX,
    )


def _shown(versions: Sequence[RuleVersion], words: Words) -> Shown:
    """`versions` of one rule, the newest first."""
    newest = versions[0]
    in_force = next((each for each in versions if each.is_in_force), None)
    waiting = None if newest.is_decided else newest
    read = waiting or in_force or newest
    compared = places(in_force.written if in_force and waiting else None, read.written)
    return Shown(
        rule_id=read.rule_id,
        title=words.pick(read.written["title"]),
        source=read.written["source"],
        in_force=in_force,
        waiting=waiting,
        places=tuple(place for place in compared if place.after is not None),
        changes=tuple(place for place in compared if place.is_changed) if in_force and waiting else (),
        life=tuple(_said(each, words) for each in versions),
    )


def _said(version: RuleVersion, words: Words) -> str:
    """What was decided about one version."""
    if not version.is_decided:
        return words.say("Version %(version)s waits for a doctor.", version=version.version)
    assert version.approved_at is not None
    if version.approved_by is None:
        said = words.say("Version %(version)s was in force before there were approvals.", version=version.version)
    elif version.ended_at == version.approved_at:
        said = words.say(
            "Version %(version)s: %(who)s decided against it on %(day)s.",
            version=version.version,
            who=version.approved_by,
            day=words.day(version.approved_at.date()),
        )
    else:
        said = words.say(
            "Version %(version)s: approved by %(who)s on %(day)s.",
            version=version.version,
            who=version.approved_by,
            day=words.day(version.approved_at.date()),
        )
    if version.ended_at is not None and version.ended_at != version.approved_at:
        ended = words.say("Ended by %(who)s on %(day)s.", who=version.ended_by, day=words.day(version.ended_at.date()))
        said = f"{said} {ended}"
    return f"{said} ({version.note})" if version.note and version.approved_by is not None else said
