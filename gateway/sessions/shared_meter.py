"""The part of a session that is about a meter which keeps its users apart (User Data Service 0x181C): open them, one by one.

Such a meter gives a user's records to who says that user's code. Which users, and by which code, somebody in the home has told
us; a user is registered in the meter only if somebody asked for it, and none is ever deleted or changed. What the meter
sends without naming a user is of the one who is open, except where that is in doubt (`_of_turn`).

Order and meaning of the answers: `vitals.gatt.user_data`; that a scale sends what it has once a user is open:
oliexdev/openScale, StandardWeightProfileHandler. A BF500's own app writes `02 01 25 20` (user 1, 8229) and gets the records; a
BF915 answers a wrong code with `20 02 05`, a BF720 perhaps with nothing (KristianP26/ble-scale-sync issues 83 and 335).

An answer does not say which user it is about. So after one that has not come nobody else is asked on that link: a late
"success" would open one user under the name of the next. The next session begins with who had no turn, and ends with who was met
by silence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final, TypeVar

import msgspec

from gateway.sessions.commands import (
    Command,
    Keep,
    Kept,
    LookUp,
    Reply,
    Script,
    relayed,
    set_aside,
    subscribe,
    wait,
    write,
)
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.user_data import ResponseValue, UserControl

T = TypeVar("T")

ANSWER_WITHIN_S: Final = 10.0
"""How long an answer is waited for (engineering choice): one who is met by silence must not take the visit from all others."""


WHOSE: Final = "whose"
"""Why a record is set aside that came under two users and names none."""


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

    def in_order(self, lately: Mapping[str, str]) -> "Users":
        """By turns: first who had none in the last session, last who was met by silence. `lately` is what `told` said then."""

        def rank(user: User) -> tuple[int, int]:
            said = lately.get(str(user.index))
            return (0 if said is None else 2 if said == Opened.UNANSWERED else 1), user.index

        return replace(self, known=tuple(sorted(self.known, key=rank)))


NOBODY: Final = Users()


class Opened(StrEnum):
    """What came of a user."""

    YES = "opened"
    WRONG_CODE = "wrong code"
    NOT_SUPPORTED = "not supported"
    INVALID_PARAMETER = "invalid parameter"
    FAILED = "failed"
    REFUSED = "refused"
    """It took no command at all (an ATT error), or answered with a value that nobody has defined."""
    UNREADABLE = "unreadable"
    UNANSWERED = "not answered"
    FULL = "no room for a new user"


_OUTCOMES: Final[dict[int | None, Opened]] = {
    ResponseValue.SUCCESS: Opened.YES,
    ResponseValue.OP_CODE_NOT_SUPPORTED: Opened.NOT_SUPPORTED,
    ResponseValue.INVALID_PARAMETER: Opened.INVALID_PARAMETER,
    ResponseValue.OPERATION_FAILED: Opened.FAILED,
    ResponseValue.USER_NOT_AUTHORIZED: Opened.WRONG_CODE,
}


@dataclass(slots=True)
class UserFindings:
    """What became of each user, by number; `registered` is the number that a new one was given, `registering` None if the
    meter was not told to make one, `is_asking` is True where nobody is known to us and the meter wants somebody. `current` is
    open now."""

    opened: dict[int, Opened] = field(default_factory=dict)
    registered: int | None = None
    registering: Opened | None = None
    is_asking: bool = False
    current: int | None = None
    has_record: bool = False
    unnamed: dict[bytes, tuple[int | None, int | None]] = field(default_factory=dict)
    """What came without a user: under whom, and whose it was taken for."""
    doubted: set[tuple[int | None, bytes]] = field(default_factory=set)
    """What of that came under another user as well, and has been set aside."""

    @property
    def was_asked(self) -> bool:
        """Whether the session came as far as asking for anybody, or finding that there is nobody to ask for."""
        return self.is_asking or bool(self.opened) or self.registering is not None

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
    try:
        known = users.known + ((yield from _register(users.new, found, late)) if users.new is not None else ())
        for user in () if found.registering is Opened.UNANSWERED else known:
            found.opened[user.index] = outcome = yield from _open(user, found, late)
            if outcome is Opened.UNANSWERED:
                break
            if outcome is Opened.YES and not (yield from _turn(records(), found, is_alone=len(known) == 1)):
                return False
    except _GoneError:
        if Opened.YES not in found.opened.values():
            raise
        return False
    return True if Opened.YES in found.opened.values() else (yield from records())


def of_user(script: Script[T], index: int | None) -> Script[T]:
    """The same script; what it keeps without a user is this one's."""
    return relayed(script, partial(_named, index))


def _named(index: int | None, command: Command) -> Script[Reply]:
    if isinstance(command, Keep | LookUp) and command.record.user_slot is None:
        command = replace(command, record=replace(command.record, user_slot=index))
    return (yield command)


def _turn(script: Script[bool], found: UserFindings, *, is_alone: bool) -> Script[bool]:
    """The records of whoever is open; `is_alone`: nobody else is known of this meter."""
    return relayed(script, partial(_of_turn, found, is_alone, found.has_record))


def _of_turn(found: UserFindings, is_alone: bool, had_record: bool, command: Command) -> Script[Reply]:
    """A record of this turn.

    The first to come is taken for one of just now once in a connection, not once for each user: the second's may have waited for
    days. It may be of whoever stands on the meter, which one that names nobody does not know, unless there is nobody else. And
    bytes that come under two users, and name none, are one weighing that is shown to both. The same bytes keep the same user,
    for they may be kept twice: provisionally, and when their time is known.
    """
    if isinstance(command, LookUp):
        return (yield from _named(found.current, command))
    if not isinstance(command, Keep):
        return (yield command)
    record = command.record
    if record.user_slot is None:
        slot = None if not (is_alone or found.has_record) else found.current
        under, slot = found.unnamed.setdefault(record.raw, (found.current, slot))
        if under != found.current and (found.current, record.raw) in found.doubted:
            return Kept(is_new=False)
        if under != found.current:
            found.doubted.add((found.current, record.raw))
            why = f"it names no user, and came under user {under} before user {found.current}"
            yield from set_aside(record.characteristic, record.raw, WHOSE, why)
            return Kept(is_new=False)
        record = replace(record, user_slot=slot)
    found.has_record = True
    if had_record:
        record = replace(record, evidence=msgspec.structs.replace(record.evidence, is_live=False))
    return (yield replace(command, record=record))


def _register(code: int, found: UserFindings, late: Late) -> Script[tuple[User, ...]]:
    found.registering = Opened.UNANSWERED  # until it has answered: it may have made one, and must not be told again
    answer = yield from _ask(UserControl.register(code), late)
    outcome = _outcome(answer)
    found.registering = Opened.FULL if outcome is Opened.FAILED else outcome
    if not isinstance(answer, UserControl) or answer.user_index is None:
        return ()
    found.registered = answer.user_index
    return (User(index=answer.user_index, code=code),)


def _open(user: User, found: UserFindings, late: Late) -> Script[Opened]:
    """Say the user's code; what comes before the answer is of who was open before."""
    command = UserControl.consent(user.index, user.code)
    outcome = _outcome((yield from _ask(command, partial(_late_of, late, found))))
    if outcome is Opened.YES:
        found.current = user.index
    elif outcome in (Opened.UNANSWERED, Opened.UNREADABLE):
        found.current = None  # whose records come now, nobody knows
    return outcome


def _late_of(late: Late, found: UserFindings, event: Notified, at: datetime) -> Script[None]:
    yield from relayed(late(event, at), partial(_of_turn, found, True, found.has_record))


def _ask(command: UserControl, late: Late) -> Script[UserControl | Opened]:
    """The meter's answer, or why there is none. Raises `_GoneError` for a meter that leaves instead, `LinkError` for a link that
    fails."""
    try:
        now = (yield from write(uuids.USER_CONTROL, bytes(command))).at
    except LinkError as e:
        if e.code is None:
            raise
        return Opened.REFUSED
    until = now + timedelta(seconds=ANSWER_WITHIN_S)
    while now < until:
        heard = yield from wait((until - now).total_seconds())
        now = heard.at
        match heard.event:
            case Disconnected():
                raise _GoneError("the meter went away when it was asked for a user")
            case Notified(characteristic=uuids.USER_CONTROL, value=raw):
                try:
                    answer = UserControl.from_bytes(raw)
                except MalformedError as e:
                    yield from set_aside(uuids.USER_CONTROL, raw, e.reason, e.message)
                    return Opened.UNREADABLE
                if answer.request_op_code == command.op_code:
                    return answer
            case Notified() as event:
                yield from late(event, now)
            case None:
                pass
    return Opened.UNANSWERED


class _GoneError(LinkError):
    """The meter has left where an answer was waited for."""


def _outcome(answer: UserControl | Opened) -> Opened:
    return answer if isinstance(answer, Opened) else _OUTCOMES.get(answer.response_value, Opened.REFUSED)
