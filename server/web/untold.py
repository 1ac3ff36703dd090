"""What is said to clinicians of a patient whom no message reaches."""

from dataclasses import dataclass

from server.store.worklist import Untold
from server.web.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """`is_fault`: something is to be put right; that a patient does not want messages is no fault."""

    text: str
    is_fault: bool


def say_untold(untold: Untold | None, zone: str, words: Words) -> Notice | None:
    if untold is None:
        return None
    at = words.moment(untold.at, zone)
    if untold.is_unwanted:
        text = words.say("%(at)s: the patient was not told, for want of consent. Call if it matters.", at=at)
        return Notice(text=text, is_fault=False)
    text = words.say(
        "%(at)s: the patient could not be told: call. No way leads to the patient: no link to the own page, no account,"
        " no contact.",
        at=at,
    )
    return Notice(text=text, is_fault=True)
