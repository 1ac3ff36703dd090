"""The pages' languages: English is written in the source, Chinese in `locale/zh`; numbers and dates are Babel's.

The catalog is all `.po` files of a language, one for each room of pages, read when first needed, so no compiled file can be
out of date. It holds no sentence of a rule: those come with the rule, in both languages.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from babel import dates, numbers
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
FALLBACK: Final[Language] = "zh"

LOCALE: Final = Path(__file__).parent / "locale"
_BABEL_NAMES: Final[Mapping[Language, str]] = {"zh": "zh_Hans_CN", "en": "en"}


def mark(message: str) -> str:
    """Says that `message` is looked up later, so that the catalog holds it."""
    return message


PRIORITIES: Final = {
    "high": mark("Urgent"),
    "medium": mark("Soon"),
    "low": mark("Review"),
    "information": mark("Information"),
}
STATES: Final = {
    "active": mark("Open"),
    "acknowledged": mark("Acknowledged"),
    "snoozed": mark("Snoozed"),
    "resolved": mark("Resolved"),
    "retracted": mark("Withdrawn"),
}
ROLES: Final = {
    "doctor": mark("Doctor"),
    "nurse": mark("Nurse"),
    "admin": mark("Administrator"),
    "auditor": mark("Auditor"),
    "patient": mark("Patient"),
}
RESOLUTIONS: Final = {
    "reached": mark("Patient reached"),
    "no_answer": mark("No answer"),
    "advised": mark("Advised"),
    "medication_changed": mark("Medication changed"),
    "false_reading": mark("False reading"),
    "meter_problem": mark("Meter problem"),
}
QUALITIES: Final = {
    "accepted": mark("Good"),
    "suspect": mark("Doubtful"),
    "rejected": mark("Not used"),
    "invalid": mark("No valid value"),
}
QUALITY_REASONS: Final = {
    "body_movement": mark("body moved"),
    "cuff_too_loose": mark("cuff too loose"),
    "improper_position": mark("wrong position"),
    "irregular_pulse": mark("irregular pulse"),
    "value_special": mark("the meter gave no number"),
    "range": mark("impossible value"),
    "unit_suspect": mark("unit mixed up"),
    "control_solution": mark("control solution"),
    "sensor_status": mark("the meter reported a fault"),
    "demonstration": mark("the meter's demonstration or test"),
    "no_contact": mark("the strap did not touch the skin"),
    "low_perfusion": mark("weak blood flow in the finger"),
    "censored_hi": mark("above the meter's range"),
    "censored_lo": mark("below the meter's range"),
}
TIME_QUALITIES: Final = {
    "synced": mark("meter clock, set from outside"),
    "corrected": mark("meter clock, corrected"),
    "trusted": mark("meter clock"),
    "received": mark("time of receipt"),
    "suspect": mark("doubtful time"),
    "orphan": mark("time unknown"),
}
PUSH_STATES: Final = {
    "pending": mark("waiting"),
    "sent": mark("sent"),
    "cancelled": mark("cancelled"),
    "withdrawn": mark("taken back"),
    "dead": mark("could not be delivered"),
    "no_consent": mark("not sent: there is no consent to it"),
    "undeliverable": mark("not delivered: there is nobody to deliver it to"),
}
CHANNELS: Final = {
    "inbox": mark("inbox"),
    "webhook": mark("clinic's own system"),
    "email": mark("e-mail"),
    "sms": mark("text message"),
    "chat": mark("chat"),
    "webpush": mark("this browser"),
}
TRIES: Final = {"sent": mark("taken"), "failed": mark("refused"), "timeout": mark("no answer in time")}
MEALS: Final = {
    "preprandial": mark("before a meal"),
    "postprandial": mark("after a meal"),
    "fasting": mark("fasting"),
    "casual": mark("any time"),
    "bedtime": mark("at bedtime"),
}
SEXES: Final = {"female": mark("female"), "male": mark("male")}
KINDS: Final = {
    "blood_pressure": mark("Blood pressure"),
    "glucose": mark("Glucose"),
    "sensor_glucose": mark("Sensor glucose"),
    "weight": mark("Weight"),
    "oxygen_saturation": mark("Blood oxygen"),
    "temperature": mark("Temperature"),
    "heart_rate": mark("Heart rate"),
}
UNITS: Final = {
    "blood_pressure": "mmHg",
    "glucose": "mmol/L",
    "sensor_glucose": "mmol/L",
    "weight": "kg",
    "oxygen_saturation": "%",
    "temperature": "°C",
    "heart_rate": "bpm",
}
"""In which a value is shown, whatever the meter sent."""
SYMPTOMS: Final = (
    mark("chest pain"),
    mark("shortness of breath"),
    mark("back pain"),
    mark("numbness"),
    mark("weakness"),
    mark("change in vision"),
    mark("difficulty speaking"),
    mark("confusion"),
    mark("dizziness"),
    mark("vomiting"),
)
"""The American Heart Association's list for a reading of 180/120 or more (docs/explanation/safety)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language."""

    language: Language

    @property
    def html_lang(self) -> str:
        return {"zh": "zh-CN", "en": "en"}[self.language]

    def say(self, message: str, **values: object) -> str:
        """`message` in this language, with `%(name)s` filled in."""
        text = translations(self.language).ugettext(message)
        return text % values if values else text

    def count(self, one: str, many: str, n: int, **values: object) -> str:
        """`one` or `many` for `n`, which is filled in as `%(n)s`."""
        text = translations(self.language).ungettext(one, many, n)
        return text % {"n": self.number(n), **values}

    def number(self, value: float, digits: int = 0) -> str:
        """Rounded for reading, never for judging."""
        pattern = "#,##0" if digits == 0 else "#,##0." + "0" * digits
        return numbers.format_decimal(value, format=pattern, locale=_BABEL_NAMES[self.language])

    def day(self, day: date) -> str:
        """2026年11月20日; Nov 20, 2026."""
        return dates.format_date(day, format="medium", locale=_BABEL_NAMES[self.language])

    def short_date(self, day: date) -> str:
        """11月20日; Nov 20."""
        return dates.format_skeleton("MMMd", day, locale=_BABEL_NAMES[self.language])

    def weekday(self, day: date) -> str:
        """11月20日 周五; Fri, Nov 20."""
        short = dates.format_date(day, format="EEE", locale=_BABEL_NAMES[self.language])
        return {"zh": f"{self.short_date(day)} {short}", "en": f"{short}, {self.short_date(day)}"}[self.language]

    def moment(self, at: datetime, zone: str) -> str:
        """11月20日 07:31; Nov 20, 07:31: on the patient's own wall clock."""
        local = at.astimezone(ZoneInfo(zone))
        return f"{self.short_date(local)} {local:%H:%M}"

    def lasting(self, span: timedelta) -> str:
        """41分钟; 41 minutes."""
        return dates.format_timedelta(max(span, timedelta()), threshold=1.5, locale=_BABEL_NAMES[self.language])

    def ago(self, span: timedelta) -> str:
        """41分钟前; 41 minutes ago."""
        return dates.format_timedelta(
            -max(span, timedelta(seconds=1)), threshold=1.5, add_direction=True, locale=_BABEL_NAMES[self.language]
        )

    def pressure(self, systolic: float | None, diastolic: float | None) -> str:
        """152/94; a value that the meter lacks is a dash."""
        return f"{self._part(systolic)}/{self._part(diastolic)}"

    def amount(self, kind: str, value: float) -> str:
        """The number of any kind but blood pressure: 81.4, 7.0, 93."""
        return self.number(value, 0 if kind in ("oxygen_saturation", "heart_rate") else 1)

    def listed(self, parts: Sequence[str]) -> str:
        """Chest pain, numbness; 胸痛、麻木."""
        return {"zh": "、", "en": ", "}[self.language].join(parts)

    def pick(self, texts: Mapping[str, str]) -> str:
        """A text that comes in several languages, in this one if it is there."""
        return texts.get(self.language) or next(iter(texts.values()), "")

    def among(self, wordings: Mapping[str, str], key: str) -> str:
        """The wording of a code; the code itself when it is newer than this page."""
        return self.say(wordings[key]) if key in wordings else key

    def _part(self, value: float | None) -> str:
        return "–" if value is None else self.number(value)


@cache
def translations(language: Language) -> Translations:
    """The catalog of one language; English is the source itself."""
    if language == "en":
        return Translations()
    compiled = io.BytesIO()
    write_mo(compiled, read_catalog(language))
    compiled.seek(0)
    return Translations(compiled)


def read_catalog(language: Language) -> Catalog:
    """All wordings of a language. Raises `ValueError` for a message that stands in two files."""
    whole = Catalog(locale=language)
    for path in catalog_files(language):
        with path.open("rb") as file:
            for message in read_po(file, locale=language, abort_invalid=True):
                if message.id and message.id in whole:
                    raise ValueError(f"{path.name} says again: {message.id}")
                if message.id:
                    whole[message.id] = message
    return whole


def catalog_files(language: Language) -> list[Path]:
    """Where the wordings of a language stand."""
    return sorted((LOCALE / language).glob("*.po"))


def choose_language(*candidates: str | None, accept: str = "") -> Language:
    """The first candidate that is a language of ours, else the best of an Accept-Language header, else Chinese."""
    for candidate in (*candidates, *_accepted(accept)):
        for language in LANGUAGES:
            if candidate == language:
                return language
    return FALLBACK


def _accepted(header: str) -> list[str]:
    weighted = []
    for part in header[:256].split(","):
        name, _, q = part.strip().partition(";q=")
        try:
            weight = float(q or 1)
        except ValueError:
            continue
        weighted.append((-weight, name.partition("-")[0].lower()))
    return [name for _, name in sorted(weighted, key=lambda each: each[0])]
