"""What is said of the parts that every patient depends on: hearing, judging, sending, and what watches over those. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from server.store.alarms import Alarm, AlarmKind
from server.store.fleet import Facts, HouseFacts
from server.store.recompute import OVERDUE_AFTER
from server.watch.gateways import GatewaySaid, GatewayState, is_nobody_heard
from server.watch.limits import Limits


class Part(StrEnum):
    """In the order in which a reading meets them; then those that look on."""

    HEARING = "hearing"
    JUDGING = "judging"
    SENDING = "sending"
    WATCHDOG = "watchdog"
    RECOMPUTE = "recompute"
    ACCOUNTS = "accounts"


class HouseState(StrEnum):
    """Each its own. The last of each part is that nothing is wrong with it."""

    NOBODY_HEARD = "nobody_heard"
    """No gateway at all is heard."""
    NOBODY_YET = "nobody_yet"
    """No gateway was ever heard."""
    HEARS = "hears"

    JUDGE_LAG = "judge_lag"
    """Something has been due for more than a minute, and nobody judges it."""
    JUDGING_BROKEN = "judging_broken"
    """The judging of a patient breaks, and is put off again and again."""
    JUDGES = "judges"

    PUSH_UNDELIVERED = "push_undelivered"
    """Messages of one channel have been due for more than a minute and have not been sent."""
    PUSH_DEAD = "push_dead"
    """Messages were given up, and nobody has looked at it yet."""
    SENDS = "sends"

    WATCHDOG_LATE = "watchdog_late"
    """The watchdog's reading did not come out as a message."""
    WATCHDOG_STOPPED = "watchdog_stopped"
    """The watchdog has not begun a beat for some time: nobody watches."""
    WATCHDOG_NEVER = "watchdog_never"
    """The watchdog has never begun a beat."""
    WATCHDOG_THROUGH = "watchdog_through"

    RECOMPUTE_DIFFERENT = "recompute_different"
    """The recompute came to other alerts than the judge."""
    RECOMPUTE_OVERDUE = "recompute_overdue"
    """The recompute has not run to its end."""
    RECOMPUTE_NEVER = "recompute_never"
    """The recompute has never run."""
    RECOMPUTE_SAME = "recompute_same"

    ACCOUNT_UNBALANCED = "account_unbalanced"
    """Readings received are not those stored, repeated and quarantined."""
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseSaid:
    """One state of one part. `since`: since when, or when it last succeeded; `count`: of how many; `subject`: which channel, or
    what the watchdog did not get past."""

    part: Part
    state: HouseState
    since: datetime | None = None
    count: int = 0
    subject: str = ""


def say_house(facts: Facts, gateways: Sequence[GatewaySaid], *, now: datetime, limits: Limits) -> tuple[HouseSaid, ...]:
    """At least one state for each part, the parts in order, the gravest of a part first."""
    house, alarms = facts.house, facts.alarms
    return (
        _hearing(house, now, limits),
        *(_judging(house, now, limits) or [HouseSaid(part=Part.JUDGING, state=HouseState.JUDGES)]),
        *(_sending(house, alarms, now, limits) or [HouseSaid(part=Part.SENDING, state=HouseState.SENDS)]),
        _watchdog(house, alarms, now, limits),
        *_recompute(house, alarms, now),
        _accounts(gateways),
    )


def _hearing(house: HouseFacts, now: datetime, limits: Limits) -> HouseSaid:
    if house.last_heard_at is None:
        return HouseSaid(part=Part.HEARING, state=HouseState.NOBODY_YET)
    state = HouseState.NOBODY_HEARD if is_nobody_heard(house, now, limits) else HouseState.HEARS
    return HouseSaid(part=Part.HEARING, state=state, since=house.last_heard_at)


def _judging(house: HouseFacts, now: datetime, limits: Limits) -> list[HouseSaid]:
    said = []
    if house.oldest_due_at is not None and now - house.oldest_due_at > limits.judge_lag:
        said.append(
            HouseSaid(part=Part.JUDGING, state=HouseState.JUDGE_LAG, since=house.oldest_due_at, count=house.due_rows)
        )
    if house.broken:
        said.append(HouseSaid(part=Part.JUDGING, state=HouseState.JUDGING_BROKEN, count=len(house.broken)))
    return said


def _sending(house: HouseFacts, alarms: Sequence[Alarm], now: datetime, limits: Limits) -> list[HouseSaid]:
    late = [
        HouseSaid(
            part=Part.SENDING,
            state=HouseState.PUSH_UNDELIVERED,
            since=each.oldest_due_at,
            count=each.pushes,
            subject=each.channel,
        )
        for each in house.waiting
        if now - each.oldest_due_at > limits.push_late
    ]
    dead = _of_kind(alarms, AlarmKind.PUSH_DEAD)
    if dead:
        late.append(HouseSaid(part=Part.SENDING, state=HouseState.PUSH_DEAD, since=dead[0].raised_at, count=len(dead)))
    return late


def _watchdog(house: HouseFacts, alarms: Sequence[Alarm], now: datetime, limits: Limits) -> HouseSaid:
    beat = house.beat
    if beat is None:
        return HouseSaid(part=Part.WATCHDOG, state=HouseState.WATCHDOG_NEVER)
    if now - beat.started_at >= limits.watchdog_stopped:
        return HouseSaid(part=Part.WATCHDOG, state=HouseState.WATCHDOG_STOPPED, since=beat.started_at)
    if beat.late_part is not None or _of_kind(alarms, AlarmKind.WATCHDOG_LATE):
        what = (beat.late_part or "").partition(":")[0]
        return HouseSaid(part=Part.WATCHDOG, state=HouseState.WATCHDOG_LATE, since=beat.came_through_at, subject=what)
    return HouseSaid(part=Part.WATCHDOG, state=HouseState.WATCHDOG_THROUGH, since=beat.came_through_at)


def _accounts(gateways: Sequence[GatewaySaid]) -> HouseSaid:
    wrong = sum(GatewayState.ACCOUNT_UNBALANCED in each.states for each in gateways)
    state = HouseState.ACCOUNT_UNBALANCED if wrong else HouseState.BALANCED
    return HouseSaid(part=Part.ACCOUNTS, state=state, count=wrong)


def _recompute(house: HouseFacts, alarms: Sequence[Alarm], now: datetime) -> list[HouseSaid]:
    run = house.recompute
    ended_at, differences = (run.ended_at, run.differences) if run else (None, 0)

    def say(state: HouseState, count: int = 0) -> HouseSaid:
        return HouseSaid(part=Part.RECOMPUTE, state=state, since=ended_at, count=count)

    said = []
    if differences or _of_kind(alarms, AlarmKind.RECOMPUTE_DIFFERENT):
        said.append(say(HouseState.RECOMPUTE_DIFFERENT, differences))
    if _of_kind(alarms, AlarmKind.RECOMPUTE_OVERDUE) or (ended_at and now - ended_at > OVERDUE_AFTER):
        said.append(say(HouseState.RECOMPUTE_OVERDUE))
    return said or [say(HouseState.RECOMPUTE_SAME if run else HouseState.RECOMPUTE_NEVER)]


def _of_kind(alarms: Iterable[Alarm], kind: AlarmKind) -> list[Alarm]:
    return [alarm for alarm in alarms if alarm.kind == kind]


WELL: Final = frozenset(
    {
        HouseState.HEARS,
        HouseState.JUDGES,
        HouseState.SENDS,
        HouseState.WATCHDOG_THROUGH,
        HouseState.RECOMPUTE_SAME,
        HouseState.BALANCED,
    }
)
"""Nothing is wrong with the part."""
