"""The part of a session that is about a meter which keeps its users apart (User Data Service 0x181C): open them, one by one.

Such a meter gives a user's records to who says that user's code. Which users, and by which code, somebody in the home has told
us; a user is registered in the meter only if somebody asked for it, and none is ever deleted or changed. What the meter sends
without naming a user is of the one who is open.

Order and meaning of the answers: `vitals.gatt.user_data`; that a scale sends what it has once a user is open:
oliexdev/openScale, StandardWeightProfileHandler.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final, TypeVar

from gateway.sessions.commands import Command, Keep, LookUp, Reply, Script, relayed, subscribe, wait, write
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.user_data import ResponseValue, UserControl

T = TypeVar("T")

ANSWER_WITHIN_S: Final = 30.0
"""The time after which a procedure of GATT is lost (Core, Vol 3, Part G, 3.3.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody whom the meter knows as `index` and opens by `code`. The code is never logged."""

    index: int
    code: int = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Who is to be opened; `new` is the code of somebody who is to be registered first."""

    known: tuple[User, ...] = ()
    new: int | None = field(default=None, repr=False)


NOBODY: Final = Users()


class Opened(StrEnum):
    """What came of a user."""

    YES = "opened"
    WRONG_CODE = "wrong code"
    REFUSED = "refused"
    UNANSWERED = "not answered"
    FULL = "no room for a new user"


@dataclass(slots=True)
class UserFindings:
    """What became of each user, by number; `registered` is the number that a new one was given, `is_asking` is True where nobody
    is known to us and the meter wants somebody."""

    opened: dict[int, Opened] = field(default_factory=dict)
    registered: int | None = None
    registering: Opened | None = None
    is_asking: bool = False

    def told(self) -> dict[str, str] | None:
        """For the status; None where there was nobody to ask for."""
        said = {str(index): opened.value for index, opened in self.opened.items()}
        if self.registering is not None:
            said["new"] = self.registering.value
        return said or None


Late = Callable[[Notified, datetime], Script[None]]
"""What is done with a record that comes while the meter is asked for something else."""


def collect(users: Users, found: UserFindings, records: Callable[[], Script[bool]], late: Late) -> Script[bool]:
    """`records()` of each user in turn; whether the link is still there. Without any user that could be opened they are asked for
    all the same: some meters send what is nobody's."""
    if users == NOBODY:
        found.is_asking = True
        return (yield from records())
    yield from subscribe(uuids.USER_CONTROL)
    known, is_open = users.known, False
    if users.new is not None:
        known += yield from _register(users.new, found, late)
    before: int | None = None
    for user in known:
        command = UserControl.consent(user.index, user.code)
        answer = yield from _ask(command, partial(_late_of, late, before))
        found.opened[user.index] = outcome = _outcome(answer)
        if outcome is not Opened.YES:
            continue
        is_open, before = True, user.index
        if not (yield from of_user(records(), user.index)):
            return False
    return True if is_open else (yield from records())


def of_user(script: Script[T], index: int | None) -> Script[T]:
    """The same script; what it keeps without a user is this one's."""
    return relayed(script, partial(_named, index))


def _named(index: int | None, command: Command) -> Script[Reply]:
    if isinstance(command, Keep | LookUp) and command.record.user_slot is None:
        command = replace(command, record=replace(command.record, user_slot=index))
    return (yield command)


def _late_of(late: Late, index: int | None, event: Notified, at: datetime) -> Script[None]:
    yield from of_user(late(event, at), index)


def _register(code: int, found: UserFindings, late: Late) -> Script[tuple[User, ...]]:
    answer = yield from _ask(UserControl.register(code), late)
    index = None if answer is None else answer.user_index
    if index is None:
        failed = answer is not None and answer.response_value == ResponseValue.OPERATION_FAILED
        found.registering = Opened.FULL if failed else _outcome(answer)
        return ()
    found.registered, found.registering = index, Opened.YES
    return (User(index=index, code=code),)


def _ask(command: UserControl, late: Late) -> Script[UserControl | None]:
    """The meter's answer; None where it refuses the write or says nothing. Raises `LinkError` for a link that goes."""
    try:
        now = (yield from write(uuids.USER_CONTROL, bytes(command))).at
    except LinkError as e:
        if e.code is None:
            raise
        return None
    until = now + timedelta(seconds=ANSWER_WITHIN_S)
    while now < until:
        heard = yield from wait((until - now).total_seconds())
        now = heard.at
        match heard.event:
            case Disconnected():
                raise LinkError("the meter went away when it was asked for a user")
            case Notified(characteristic=uuids.USER_CONTROL, value=raw):
                try:
                    answer = UserControl.from_bytes(raw)
                except MalformedError:
                    return None
                if answer.request_op_code == command.op_code:
                    return answer
            case Notified() as event:
                yield from late(event, now)
            case None:
                pass
    return None


def _outcome(answer: UserControl | None) -> Opened:
    match None if answer is None else answer.response_value:
        case None:
            return Opened.UNANSWERED
        case ResponseValue.SUCCESS:
            return Opened.YES
        case ResponseValue.USER_NOT_AUTHORIZED:
            return Opened.WRONG_CODE
    return Opened.REFUSED
