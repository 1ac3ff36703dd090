"""What clinicians have said of readings, in the words of the pages. It names nobody whom the reader does not see."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final
from uuid import UUID

from server.people.corrections import Action, Reason
from server.store.corrections import Correction
from server.store.reading_lists import ShownReading
from server.web.words import Words, mark

REASONS: Final[Mapping[str, str]] = {
    Reason.WRONG_PERSON: mark("somebody else measured"),
    Reason.BAD_MEASUREMENT: mark("measured in the wrong way"),
    Reason.METER_PROBLEM: mark("meter problem"),
    Reason.WRONG_TIME: mark("the time cannot be right"),
    Reason.TRIAL: mark("trial or demonstration"),
    Reason.WRONG_BINDING: mark("the meter was bound to the wrong person"),
    Reason.CHECKED: mark("checked: it is right"),
    Reason.MISTAKE: mark("the correction was a mistake"),
    Reason.OTHER: mark("other"),
}
ACTIONS: Final[Mapping[str, str]] = {
    Action.VOID: mark("Not to be used"),
    Action.REASSIGN: mark("Moved"),
    Action.RESTORE: mark("Counts again"),
}


def hide_names(corrections: Iterable[Correction], named: Callable[[str], str]) -> list[Correction]:
    """The same, with other patients' names as this browser shows names."""
    return [
        replace(
            each,
            to_name=None if each.to_name is None else named(each.to_name),
            from_name=None if each.from_name is None else named(each.from_name),
        )
        for each in corrections
    ]


def newest(corrections: Iterable[Correction]) -> dict[UUID, Correction]:
    """What was said last of each reading, of corrections oldest first."""
    return {each.reading_id: each for each in corrections}


def say_correction(correction: Correction, reading: ShownReading, zone: str, words: Words) -> str:
    """One line: what was said last, seen from the record in which `reading` stands, why, by whom and when."""
    return words.say(
        "%(what)s: %(why)s. %(who)s, %(when)s",
        what=_what(correction, reading, words),
        why=say_reason(correction, words),
        who=correction.made_by,
        when=words.moment(correction.made_at, zone),
    )


def say_reason(correction: Correction, words: Words) -> str:
    """The reason, and the note where there is one."""
    reason = words.among(REASONS, correction.reason)
    if not correction.note:
        return reason
    return words.say("%(reason)s – %(note)s", reason=reason, note=correction.note)


def _what(correction: Correction, reading: ShownReading, words: Words) -> str:
    match reading.standing:
        case "void":
            return words.say("Not to be used")
        case "moved" if correction.to_name is not None:
            return words.say("Moved to %(name)s", name=correction.to_name)
        case "moved":
            return words.say("Another patient's")
    if reading.is_from_another and correction.from_name is not None:
        return words.say("Moved here from %(name)s", name=correction.from_name)
    if reading.is_from_another:
        return words.say("Moved here from another patient")
    return words.say("Counts again")
