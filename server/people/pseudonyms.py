"""The other names that a research project gives to patients and meters, and the other dates. Nothing here knows who anybody is.

Everything is derived from the project's key (HMAC-SHA-256, RFC 2104), so the same project always says the same and no two
projects say alike; without the key nobody finds the way back, not even by trying all patients' numbers.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

KEY_BYTES: Final = 32

WEEKS_MAX: Final = 52
"""Whole weeks, so that weekdays stay what they were; up to a year, so that neither the date nor the season is told. HHS, guidance
on de-identification (2012), and HIPAA 45 CFR 164.514 (b)(2)(i)(C): no element of a date but the year is harmless as it is."""

LEFT_OUT_DAYS_MAX: Final = 28
"""Whoever still measures has a record that ends on the day of the export, which would tell the shift. So every record ends 1 to
28 days earlier, by a constant of its own (engineering choice)."""

BAND_YEARS: Final = 5
OLDEST: Final = 85
"""From here on one band: the older, the fewer (HIPAA puts the line at 90)."""


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Those of one project. `repr` never shows the key."""

    _key: bytes

    def __repr__(self) -> str:
        return "Pseudonyms(…)"

    def patient(self, patient_id: int) -> str:
        """128 bits in hexadecimal."""
        return self._derive(f"patient:{patient_id}").hex()[:32]

    def meter(self, patient_id: int, meter_id: str) -> str:
        """Tells one patient's meters apart. The same meter at two patients has two names: nobody learns who lives together."""
        return self._derive(f"meter:{patient_id}:{meter_id}").hex()[:12]

    def shift(self, patient_id: int) -> timedelta:
        """What is taken off every date of the patient: 1 to 52 whole weeks."""
        return timedelta(weeks=1 + self._number(f"shift:{patient_id}") % WEEKS_MAX)

    def left_out(self, patient_id: int) -> timedelta:
        """How much of the end of the patient's record is not given: 1 to 28 days."""
        return timedelta(days=1 + self._number(f"end:{patient_id}") % LEFT_OUT_DAYS_MAX)

    def local(self, patient_id: int, at: datetime, zone: str) -> datetime:
        """The patient's wall clock at `at`, with the other date, and without a zone.

        Not UTC: beside the wall clock it would tell the zone, and where clocks are changed in summer, the date.
        """
        return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) - self.shift(patient_id)

    def _number(self, what: str) -> int:
        return int.from_bytes(self._derive(what)[:8], "big")

    def _derive(self, what: str) -> bytes:
        return hmac.digest(self._key, what.encode(), hashlib.sha256)


def age_band(born: date | None, on: date) -> str | None:
    """`60-64`, from 85 on `85+`; None if it is not known."""
    if born is None or born > on:
        return None
    age = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    if age >= OLDEST:
        return f"{OLDEST}+"
    low = age - age % BAND_YEARS
    return f"{low}-{low + BAND_YEARS - 1}"
