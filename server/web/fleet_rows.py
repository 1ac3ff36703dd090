"""What the fleet page shows, in words: the house, open alarms, patients, gateways, meters; what needs somebody comes first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2s
from typing import Final, Protocol, TypeVar

from server.watch.gateways import GatewaySaid, GatewayState
from server.watch.house import HouseSaid, HouseState, Part
from server.watch.sight import SeenAlarm, Sight
from server.watch.silence import MeterSaid, PatientSaid, PatientState
from server.watch.states import METERS_SEARCHED
from server.web import alarm_words, fleet_words
from server.web.fleet_words import GRAVITIES, Gravity, Wording
from server.web.words import Words, mark

SHOWN_MAX: Final = 200
"""Rows of one kind on a page; the gravest come first, and how many there are in all is said."""


class _Graded(Protocol):
    @property
    def gravity(self) -> Gravity: ...


Row = TypeVar("Row", bound=_Graded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One state in words."""

    gravity: Gravity
    name: str
    meaning: str
    advice: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """One part of the house."""

    name: str
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRow:
    """One open alarm. `about`: the gateway, meter, channel or patient; `link` leads to the patient."""

    alarm: SeenAlarm
    told: Told
    about: str
    link: str
    raised: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRow:
    """One gateway; each of its facts is a pair of name and value."""

    gateway_id: str
    gravity: Gravity
    told: tuple[Told, ...]
    heard: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRow:
    """One meter. `owners` are patients of the panel by number and name, `others` how many besides."""

    meter_id: str
    gateway_id: str
    gravity: Gravity
    told: Told
    owners: tuple[tuple[int, str], ...]
    others: int
    last: str
    battery: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRow:
    """One patient of the panel of whom something is to be said."""

    patient_id: int
    name: str
    told: Told
    last: str


def say_parts(sight: Sight, words: Words) -> list[PartRow]:
    """The house, part by part."""
    return [
        PartRow(
            name=words.say(fleet_words.PARTS[part]),
            told=tuple(_tell_house(each, sight.at, words) for each in sight.house if each.part is part),
        )
        for part in Part
    ]


def say_alarms(sight: Sight, words: Words) -> list[AlarmRow]:
    """The open alarms, the gravest first, then the oldest."""
    rows = [_alarm_row(each, sight, words) for each in sight.alarms]
    return sorted(rows, key=lambda row: (GRAVITIES[row.told.gravity], row.alarm.raised_at))


def say_gateways(sight: Sight, words: Words) -> list[GatewayRow]:
    """The gateways that need somebody first."""
    return _gravest_first((_gateway_row(each, sight.at, words) for each in sight.gateways), lambda row: row.gateway_id)


def say_meters(sight: Sight, words: Words) -> list[MeterRow]:
    """The meters that need somebody first."""
    return _gravest_first((_meter_row(each, sight, words) for each in sight.meters), lambda row: row.meter_id)


def say_patients(sight: Sight, words: Words) -> list[PatientRow]:
    """The patients of the panel of whom something is to be said; the longest silent of the gravest first."""
    said = [each for each in sight.patients if fleet_words.PATIENTS[each.state].gravity != "information"]
    said.sort(key=lambda each: (GRAVITIES[fleet_words.PATIENTS[each.state].gravity], -each.days, each.facts.patient_id))
    return [_patient_row(each, sight, words) for each in said]


def count_patients(sight: Sight, words: Words) -> list[tuple[Told, int]]:
    """How many patients are in which state, the gravest first."""
    found = [(state, sight.patient_counts.get(state, 0)) for state in PatientState]
    found.sort(key=lambda each: GRAVITIES[fleet_words.PATIENTS[each[0]].gravity])
    return [(_tell(fleet_words.PATIENTS[state], words), count) for state, count in found if count]


def fingerprint(sight: Sight) -> str:
    """What a page shows, in short: once it is another, the page no longer shows what is."""
    said = [
        *(f"{each.part}:{each.state}:{each.subject}" for each in sight.house),
        *(f"{each.facts.gateway_id}:{','.join(each.states)}" for each in sight.gateways),
        *(f"{each.facts.gateway_id}/{each.facts.meter_id}:{each.state}" for each in sight.meters),
        *(f"{each.facts.patient_id}:{each.state}" for each in sight.patients),
        *sorted(f"{state}={count}" for state, count in sight.patient_counts.items()),
        *(f"{each.alarm_id}:{each.times if each.is_event else 0}" for each in sight.alarms),
    ]
    return blake2s("\n".join(said).encode(), digest_size=8).hexdigest()


def _gravest_first(rows: Iterable[Row], name: Callable[[Row], str]) -> list[Row]:
    return sorted(rows, key=lambda row: (GRAVITIES[row.gravity], name(row)))


def _tell(wording: Wording, words: Words, detail: str = "") -> Told:
    return Told(
        gravity=wording.gravity,
        name=words.say(wording.name),
        meaning=words.say(wording.meaning),
        advice=words.say(wording.advice) if wording.advice else "",
        detail=detail,
    )


def _tell_house(said: HouseSaid, now: datetime, words: Words) -> Told:
    return _tell(fleet_words.HOUSE[said.state], words, words.listed(_details(said, now, words)))


def _details(said: HouseSaid, now: datetime, words: Words) -> list[str]:
    """What, how many, since when: as far as it is known of this state."""
    details = [words.among(fleet_words.SUBJECTS, said.subject)] if said.subject else []
    if said.count:
        details.append(_count(said, words))
    if said.since is not None and said.state in _LAST_TIME:
        details.append(words.say("last: %(ago)s", ago=words.ago(now - said.since)))
    elif said.since is not None:
        details.append(words.say("for %(span)s", span=words.lasting(now - said.since)))
    return details


def _count(said: HouseSaid, words: Words) -> str:
    match said.state:
        case HouseState.PUSH_DEAD:
            return words.count("%(n)s message", "%(n)s messages", said.count)
        case HouseState.JUDGING_BROKEN:
            return words.count("%(n)s patient", "%(n)s patients", said.count)
        case HouseState.RECOMPUTE_DIFFERENT:
            return words.count("%(n)s difference", "%(n)s differences", said.count)
        case HouseState.ACCOUNT_UNBALANCED:
            return words.count("%(n)s gateway", "%(n)s gateways", said.count)
    return words.count("%(n)s waiting", "%(n)s waiting", said.count)


_LAST_TIME: Final = frozenset(
    {
        HouseState.HEARS,
        HouseState.NOBODY_HEARD,
        HouseState.WATCHDOG_LATE,
        HouseState.WATCHDOG_STOPPED,
        HouseState.WATCHDOG_THROUGH,
        HouseState.RECOMPUTE_SAME,
        HouseState.RECOMPUTE_DIFFERENT,
        HouseState.RECOMPUTE_OVERDUE,
    }
)
"""Their instant is that of the last time that it went well, or ran."""


def _alarm_row(alarm: SeenAlarm, sight: Sight, words: Words) -> AlarmRow:
    wording = alarm_words.ALARMS.get(alarm.kind)
    if wording is None:  # newer than this page
        told = Told(gravity="high", name=alarm.kind, meaning="", advice="", detail=alarm.detail)
    else:
        told = _tell(wording, words, alarm.detail)
    name = sight.names.get(alarm.patient_id, "") if alarm.patient_id is not None else ""
    return AlarmRow(
        alarm=alarm,
        told=told,
        about=name or words.among(fleet_words.SUBJECTS, alarm.subject),
        link=f"/p/{alarm.patient_id}" if name else "",
        raised=words.ago(sight.at - alarm.raised_at),
        times=alarm.times if alarm.is_event else 1,
    )


def _gateway_row(said: GatewaySaid, now: datetime, words: Words) -> GatewayRow:
    facts = said.facts
    told = tuple(_tell(fleet_words.GATEWAYS[state], words) for state in said.states)
    heard = words.ago(now - facts.last_heard_at) if facts.last_heard_at else words.say("never")
    return GatewayRow(
        gateway_id=facts.gateway_id,
        gravity=min((each.gravity for each in told), key=GRAVITIES.__getitem__),
        told=told,
        heard=words.say("last heard: %(ago)s", ago=heard),
        facts=tuple(_gateway_facts(said, words)),
    )


def _gateway_facts(said: GatewaySaid, words: Words) -> Iterable[tuple[str, str]]:
    """What a person who calls the home wants at hand. What the gateway said of itself is from when it was last heard."""
    facts, report = said.facts, said.report
    yield words.say("Version"), report.version or words.say("not said")
    yield words.say("Readings waiting in it"), _number(report.waiting, words)
    yield words.say("Clock"), words.say(_CLOCK[report.is_clock_believable])
    yield words.say("Bluetooth"), report.wrong_with_radio or words.say("nothing wrong said")
    yield words.say("Disk"), words.say("full") if report.is_disk_full else words.say("nothing wrong said")
    yield words.say("Numbers missing"), words.number(facts.missing)
    yield words.say("Outboxes so far"), words.number(facts.epochs)
    sum_of = " + ".join(words.number(each) for each in (facts.stored, facts.repeated, facts.quarantined))
    sign = "=" if facts.is_balanced else "≠"
    yield words.say("Received = stored + repeats + put aside"), f"{words.number(facts.received)} {sign} {sum_of}"


_CLOCK: Final = {True: mark("right"), False: mark("waits for the time"), None: mark("not said")}


def _number(value: int | None, words: Words) -> str:
    return words.say("not said") if value is None else words.number(value)


def _meter_row(said: MeterSaid, sight: Sight, words: Words) -> MeterRow:
    facts = said.facts
    owners = tuple((each, sight.names[each]) for each in facts.patient_ids if each in sight.names)
    told = _tell(fleet_words.METERS[said.state], words, _because(said.because, words))
    measured = facts.last_measured_at
    none = words.say("none in %(days)s days", days=METERS_SEARCHED.days) if facts.patient_ids else ""
    return MeterRow(
        meter_id=facts.meter_id,
        gateway_id=facts.gateway_id,
        gravity=told.gravity,
        told=told,
        owners=owners,
        others=len(facts.patient_ids) - len(owners),
        last=words.ago(sight.at - measured) if measured else none,
        battery="" if said.battery_percent is None else f"{words.number(said.battery_percent)} %",
    )


def _patient_row(said: PatientSaid, sight: Sight, words: Words) -> PatientRow:
    measured = said.facts.last_measured_at
    detail = _because(said.because, words)
    if detail and said.gateway_id:
        detail = words.say("%(gateway)s: %(state)s", gateway=said.gateway_id, state=detail)
    return PatientRow(
        patient_id=said.facts.patient_id,
        name=sight.names.get(said.facts.patient_id, ""),
        told=_tell(fleet_words.PATIENTS[said.state], words, detail),
        last=words.ago(sight.at - measured) if measured else words.say("never"),
    )


def _because(why: GatewayState | None, words: Words) -> str:
    return "" if why is None else words.say(fleet_words.GATEWAYS[why].name)
