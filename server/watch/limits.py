"""How long a silence must last before it is said, each bound with its source. Nothing else in the house knows these numbers."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of every state. A clinic may want other days; `Limits()` is what the documents say."""

    gateway_unheard: timedelta = timedelta(minutes=15)
    """A gateway says how it is every minute; after fifteen of them missed, neither Wi-Fi nor a restart explains it
    (docs/explanation/architecture: silence is visible)."""

    first_word: timedelta = timedelta(days=7)
    """A new gateway may lie in a parcel or in a cupboard for a week before its silence is an alarm."""

    long_away: timedelta = timedelta(days=1)
    """After so long an absence a gateway's meters get as much time again to hand over what they keep."""

    nobody_heard: timedelta = timedelta(minutes=10)
    """Gateways speak every minute and the watchdog every five: if at least two were heard within a day and none within ten
    minutes, it is not their silence but our deafness. Shorter than `gateway_unheard`, so that it is said first."""

    hole: timedelta = timedelta(minutes=10)
    """Numbers of an outbox may overtake one another for as long as a window is sent again, minutes at most."""

    judge_lag: timedelta = timedelta(seconds=60)
    """A judging takes less than a second; the watchdog's reading has to come out as a message within a minute."""

    push_late: timedelta = timedelta(seconds=60)
    """The first attempt is due within five seconds, the second after two more."""

    watchdog_stopped: timedelta = timedelta(minutes=11)
    """The watchdog begins a beat every five minutes; after two that were not begun nobody plays the role `watch`."""

    patient_quiet_days: int = 3
    """Whole days of the patient's own without a reading: a pre-warning (clinical definition of churn: warn at day three)."""

    patient_silent_days: int = 7
    """Whole days of the patient's own without a reading: silent. Guidelines ask for one or two days of readings a week in
    the long term, so that a shorter gap is no sign."""

    meter_silent_days: int = 7
    """As for a patient: nobody is asked to use every meter more often than once a week."""

    battery_low_percent: int = 20
    """Cuffs stop inflating well before zero; at a fifth there is time to buy batteries."""

    disk_low_mb: int = 200
    """Left on a gateway's disk: an outbox of a year takes some 100 MB, its spare room 8 (gateway/outbox, gateway/spare_room)."""

    restarts_often: int = 6
    """Starts of a gateway within 24 hours: one in four hours is neither an upgrade nor a power cut."""

    certificate_days: int = 14
    """A certificate is renewed from its sixtieth day of ninety on: with fourteen left that has failed for sixteen days."""

    clock_waits: timedelta = timedelta(minutes=10)
    """After so long up, neither the boot nor the network of a home excuses a gateway that does not know the time."""

    outbox_filling: int = 5_000
    """Readings that wait in an outbox: a tenth of the 50,000 at which it refuses more (gateway/outbox)."""


LIMITS: Final = Limits()
