"""Why a combined rule fired, in one plain sentence of what its conditions say, in English and Chinese. Computes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.rules import trend_sentences
from server.rules.conditions import Trend
from server.rules.episodes import Language
from server.rules.trend_grounds import Grounds
from server.rules.trend_sentences import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one condition said, with what it rests on. `is_negated`: it is written under `not`, and said no."""

    when: Trend
    is_negated: bool
    limits: tuple[Limit, ...]
    grounds: Grounds


def sentence(said: Sequence[Said]) -> dict[Language, str]:
    """`Oxygen saturation at or below 93 % in the last reading: 92; and not: highest temperature 36.8 °C over 24 hours (…), …`."""
    each = [
        (one.is_negated, trend_sentences.sentence(one.when, one.limits, one.grounds.value, one.grounds.values))
        for one in said
    ]
    en = "; and ".join(f"not: {_within(text['en'])}" if is_not else _within(text["en"]) for is_not, text in each)
    zh = "；且".join(f"并非：{text['zh']}" if is_not else text["zh"] for is_not, text in each)
    return {"en": en[:1].upper() + en[1:], "zh": zh}


def _within(text: str) -> str:
    """As it is written inside a sentence."""
    return text[:1].lower() + text[1:]
