"""The states of the fleet in plain words, for whoever looks after the boxes: what it is called, what it means, what to do.

A state has a gravity too, which gives it the shapes and colours of an alert; the word alone always suffices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from server.watch.gateways import GatewayState
from server.watch.house import HouseState, Part
from server.watch.silence import MeterState, PatientState
from server.web.words import mark

Gravity = Literal["high", "medium", "low", "information"]

GRAVITIES: Final[Mapping[Gravity, int]] = {"high": 0, "medium": 1, "low": 2, "information": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How one state is said. `gravity` information: nothing is to be done."""

    gravity: Gravity
    name: str
    meaning: str
    advice: str = ""


PARTS: Final[Mapping[Part, str]] = {
    Part.HEARING: mark("Hearing the gateways"),
    Part.JUDGING: mark("Judging readings"),
    Part.SENDING: mark("Sending messages"),
    Part.WATCHDOG: mark("Watchdog"),
    Part.RECOMPUTE: mark("Nightly recompute"),
    Part.ACCOUNTS: mark("Accounts of readings"),
}

HOUSE: Final[Mapping[HouseState, Wording]] = {
    HouseState.NOBODY_HEARD: Wording(
        gravity="high",
        name=mark("Nobody is heard"),
        meaning=mark("No gateway at all has been heard for ten minutes: the fault is here, not in the homes."),
        advice=mark(
            "Check that the broker runs and that the role intake runs and can reach it. Readings wait in the homes."
        ),
    ),
    HouseState.NOBODY_YET: Wording(
        gravity="low",
        name=mark("No gateway yet"),
        meaning=mark("No gateway has ever been heard."),
        advice=mark("Enrol a gateway and start it in a home."),
    ),
    HouseState.HEARS: Wording(
        gravity="information", name=mark("Hears"), meaning=mark("Gateways are heard; the newest word is this old.")
    ),
    HouseState.JUDGE_LAG: Wording(
        gravity="high",
        name=mark("Not judged in time"),
        meaning=mark("Readings have waited for more than a minute, so alerts are late."),
        advice=mark("Check that the role judge runs. Nothing is lost: it takes up where it stopped."),
    ),
    HouseState.JUDGING_BROKEN: Wording(
        gravity="high",
        name=mark("Judging breaks"),
        meaning=mark("The judging of some patients fails and is put off again and again."),
        advice=mark("Look for judging_broken in the log of the role judge, and report it."),
    ),
    HouseState.JUDGES: Wording(
        gravity="information", name=mark("In time"), meaning=mark("No reading has waited for more than a minute.")
    ),
    HouseState.PUSH_UNDELIVERED: Wording(
        gravity="high",
        name=mark("Messages not delivered"),
        meaning=mark("Messages have been due for more than a minute and have not reached anybody."),
        advice=mark("Check that the role push runs, and for webhooks that the clinic's own system answers."),
    ),
    HouseState.PUSH_DEAD: Wording(
        gravity="high",
        name=mark("Messages given up"),
        meaning=mark("Messages could not be delivered at all; the next person in line was told."),
        advice=mark("See the open alarms below: reach the patient or the doctor in another way."),
    ),
    HouseState.SENDS: Wording(
        gravity="information", name=mark("In time"), meaning=mark("No message has waited for more than a minute.")
    ),
    HouseState.WATCHDOG_LATE: Wording(
        gravity="high",
        name=mark("Did not come through"),
        meaning=mark("The test reading of the house did not come out as a message within a minute."),
        advice=mark("Look at the part named here first; every patient's readings go the same way."),
    ),
    HouseState.WATCHDOG_STOPPED: Wording(
        gravity="high",
        name=mark("Stopped"),
        meaning=mark("No test reading has been sent for more than ten minutes: nobody watches the house."),
        advice=mark("Check that the role watch runs."),
    ),
    HouseState.WATCHDOG_NEVER: Wording(
        gravity="low",
        name=mark("Never ran"),
        meaning=mark("No test reading has ever been sent."),
        advice=mark("Start the role watch; see how the watchdog reaches the broker."),
    ),
    HouseState.WATCHDOG_THROUGH: Wording(
        gravity="information",
        name=mark("Came through"),
        meaning=mark("A test reading goes the whole way every five minutes."),
    ),
    HouseState.RECOMPUTE_DIFFERENT: Wording(
        gravity="high",
        name=mark("Different"),
        meaning=mark("An independent calculation comes to other alerts than the judge."),
        advice=mark(
            "Run homevigil server recompute, look at the differences, and report them: one of the two is wrong."
        ),
    ),
    HouseState.RECOMPUTE_OVERDUE: Wording(
        gravity="high",
        name=mark("Overdue"),
        meaning=mark("The nightly recompute has not come to its end for 26 hours."),
        advice=mark("Check that the role watch runs, and its log."),
    ),
    HouseState.RECOMPUTE_NEVER: Wording(
        gravity="low",
        name=mark("Never ran"),
        meaning=mark("The nightly recompute has not run yet."),
        advice=mark("It runs every night where the role watch runs."),
    ),
    HouseState.RECOMPUTE_SAME: Wording(
        gravity="information",
        name=mark("The same"),
        meaning=mark("An independent calculation came to the same alerts."),
    ),
    HouseState.ACCOUNT_UNBALANCED: Wording(
        gravity="high",
        name=mark("Do not balance"),
        meaning=mark("Readings received are not those stored, repeated and put aside: a reading may be missing."),
        advice=mark("Run homevigil server check, keep the database as it is, and report it."),
    ),
    HouseState.BALANCED: Wording(
        gravity="information",
        name=mark("Balance"),
        meaning=mark("Every reading received is stored, a repeat, or put aside with its reason."),
    ),
}

GATEWAYS: Final[Mapping[GatewayState, Wording]] = {
    GatewayState.REVOKED: Wording(
        gravity="information", name=mark("Revoked"), meaning=mark("Somebody has shut this gateway out for good.")
    ),
    GatewayState.SUSPENDED: Wording(
        gravity="high",
        name=mark("Suspended"),
        meaning=mark("It is not listened to until somebody has looked. Its readings wait at home."),
        advice=mark("Find out why it spoke in another's name. Then activate it again, or revoke it."),
    ),
    GatewayState.NOT_YET_HEARD: Wording(
        gravity="low",
        name=mark("Not heard yet"),
        meaning=mark("It is enrolled and has never been heard."),
        advice=mark(
            "Start it in the home. If it is running: check its Wi-Fi, its certificate and the broker's address."
        ),
    ),
    GatewayState.NOBODY_HEARD: Wording(
        gravity="high",
        name=mark("Nobody is heard"),
        meaning=mark("No gateway is heard at the moment. This one need not be at fault."),
        advice=mark("See Hearing the gateways, at the top."),
    ),
    GatewayState.UNHEARD: Wording(
        gravity="medium",
        name=mark("Not heard"),
        meaning=mark("Nothing has come from it for 15 minutes or more. What lies behind it cannot be known."),
        advice=mark("Call the home: is it plugged in, is the internet there? Readings wait in it and are not lost."),
    ),
    GatewayState.LINK_LOST: Wording(
        gravity="low",
        name=mark("Connection lost"),
        meaning=mark("Its connection has just ended. It tries again by itself."),
        advice=mark("Wait a quarter of an hour."),
    ),
    GatewayState.ACCOUNT_UNBALANCED: Wording(
        gravity="high",
        name=mark("Account does not balance"),
        meaning=mark("Readings received from it are not those stored, repeated and put aside."),
        advice=mark("Run homevigil server check, keep the database as it is, and report it."),
    ),
    GatewayState.HOLE: Wording(
        gravity="high",
        name=mark("Readings missing"),
        meaning=mark("It numbered readings that have not come for ten minutes, though later ones have."),
        advice=mark(
            "Leave it running: it sends them again. If they do not come within a day, keep its card and report it."
        ),
    ),
    GatewayState.DISK_FULL: Wording(
        gravity="high",
        name=mark("Disk full"),
        meaning=mark("It can keep no new readings. Meters keep their own for a while."),
        advice=mark("Make room on it, or bring it a larger card; keep the outbox."),
    ),
    GatewayState.DISK_LOW: Wording(
        gravity="medium",
        name=mark("Disk nearly full"),
        meaning=mark("Little room is left on its card. It still keeps every reading."),
        advice=mark("See what fills it, or bring it a larger card, before it is full."),
    ),
    GatewayState.RADIO_WRONG: Wording(
        gravity="medium",
        name=mark("Bluetooth does not work"),
        meaning=mark("It hears no meter. Meters keep their readings and hand them over later."),
        advice=mark("Restart it. If that does not help, plug in a USB Bluetooth adapter."),
    ),
    GatewayState.CLOCK_WAITING: Wording(
        gravity="medium",
        name=mark("Waiting for the time"),
        meaning=mark("It does not know what time it is, and holds readings until it does."),
        advice=mark("Check that time servers (NTP) can be reached from the home."),
    ),
    GatewayState.RESTARTING: Wording(
        gravity="medium",
        name=mark("Starts again and again"),
        meaning=mark("It has started six times or more within a day: somebody unplugs it, or it breaks."),
        advice=mark("Ask whether it is unplugged; if not, ask it for a diagnosis (server gateway diagnostics)."),
    ),
    GatewayState.UNDERVOLTAGE: Wording(
        gravity="medium",
        name=mark("Power supply too weak"),
        meaning=mark("Its voltage has dropped. Cards and Bluetooth adapters fail when that goes on."),
        advice=mark("Bring it the power supply made for it, and a short cable."),
    ),
    GatewayState.CERTIFICATE_ENDS: Wording(
        gravity="medium",
        name=mark("Certificate ends soon"),
        meaning=mark("It could not renew its certificate. When that ends, the broker lets it in no more."),
        advice=mark("See that the door for gateways is open (role enrol); else enrol it anew (server gateway claim)."),
    ),
    GatewayState.CONFIG_REFUSED: Wording(
        gravity="medium",
        name=mark("Refuses what was set"),
        meaning=mark("It cannot apply what the clinic has set, and goes on as before."),
        advice=mark("Read why (server gateway configure), and set it otherwise or upgrade the gateway."),
    ),
    GatewayState.RADIO_PAUSED: Wording(
        gravity="low",
        name=mark("Paused by the clinic"),
        meaning=mark("It leaves its Bluetooth alone for a while, as it was told. It goes on by itself."),
        advice=mark("To let it go on at once: server gateway configure, with a pause of 0."),
    ),
    GatewayState.OUTBOX_FILLING: Wording(
        gravity="medium",
        name=mark("Many readings wait in it"),
        meaning=mark("A tenth of what it can keep, or more, has not been taken here."),
        advice=mark("If the number does not fall within an hour, look at its log and at the broker's."),
    ),
    GatewayState.JUST_BACK: Wording(
        gravity="information",
        name=mark("Back again"),
        meaning=mark("It was away for a day or more. Its meters have a day to hand over what they kept."),
    ),
    GatewayState.HEARD: Wording(
        gravity="information", name=mark("Heard"), meaning=mark("It is heard and complains of nothing.")
    ),
}

METERS: Final[Mapping[MeterState, Wording]] = {
    MeterState.UNKNOWABLE: Wording(
        gravity="low",
        name=mark("Cannot be known"),
        meaning=mark("Its gateway does not tell: see the gateway."),
    ),
    MeterState.CONFLICT: Wording(
        gravity="high",
        name=mark("Read in another home"),
        meaning=mark("It is bound in one home and was read in another. Those readings are put aside, nobody's."),
        advice=mark("Ask both homes who has the meter, and bind it there."),
    ),
    MeterState.WAITS_FOR_BINDING: Wording(
        gravity="medium",
        name=mark("Readings wait for binding"),
        meaning=mark("It hands readings over, and nobody has said whose they are."),
        advice=mark("Find out who measures with it, bind it, and release what waits."),
    ),
    MeterState.WANTS_CONSENT: Wording(
        gravity="medium",
        name=mark("Asks for a user's consent"),
        meaning=mark("It keeps its users apart, and its gateway knows nobody's consent code, or only wrong ones."),
        advice=mark("Tell the gateway the number and the code of each user of this meter."),
    ),
    MeterState.ON_THE_WAY: Wording(
        gravity="low",
        name=mark("Readings on the way"),
        meaning=mark("Nothing has arrived for days, but its gateway still holds readings."),
        advice=mark("Wait until the gateway has sent them."),
    ),
    MeterState.SILENT: Wording(
        gravity="medium",
        name=mark("Silent"),
        meaning=mark("It has brought nothing for a week, though its patient measures with another meter."),
        advice=mark("Check its battery, and pair it again with the gateway."),
    ),
    MeterState.QUIET_WITH_PATIENT: Wording(
        gravity="low",
        name=mark("Unused"),
        meaning=mark("It has brought nothing for a week, and neither has any other meter of this patient."),
        advice=mark("See the patient, not the meter."),
    ),
    MeterState.NOTHING_YET: Wording(
        gravity="information",
        name=mark("Nothing yet"),
        meaning=mark("It was bound lately and has brought nothing yet."),
    ),
    MeterState.BATTERY_LOW: Wording(
        gravity="low",
        name=mark("Battery low"),
        meaning=mark("It brings readings and says that its battery runs down."),
        advice=mark("Send batteries."),
    ),
    MeterState.BRINGING: Wording(
        gravity="information", name=mark("Brings readings"), meaning=mark("It brings readings.")
    ),
}

PATIENTS: Final[Mapping[PatientState, Wording]] = {
    PatientState.UNKNOWABLE: Wording(
        gravity="low",
        name=mark("Cannot be known"),
        meaning=mark("Whether the patient measures cannot be known at the moment."),
        advice=mark("See to the gateway first."),
    ),
    PatientState.NO_METER: Wording(
        gravity="low",
        name=mark("No meter"),
        meaning=mark("No meter is bound to the patient."),
        advice=mark("Bind a meter."),
    ),
    PatientState.ON_THE_WAY: Wording(
        gravity="low",
        name=mark("Readings on the way"),
        meaning=mark("Nothing has arrived for days, but the gateway still holds readings."),
        advice=mark("Wait until the gateway has sent them."),
    ),
    PatientState.WAITS_FOR_BINDING: Wording(
        gravity="medium",
        name=mark("Readings wait for binding"),
        meaning=mark("Somebody in this home measures, and nobody has said whose readings they are."),
        advice=mark("Have the meter bound, and what waits released."),
    ),
    PatientState.REFUSED: Wording(
        gravity="medium",
        name=mark("Readings put aside"),
        meaning=mark(
            "Readings come from this home and cannot be taken, for instance because their time is impossible."
        ),
        advice=mark("Look at the quarantine, and at the meter's clock."),
    ),
    PatientState.SILENT: Wording(
        gravity="medium",
        name=mark("Silent"),
        meaning=mark("Nothing has been measured for seven whole days, and the way here is open."),
        advice=mark("Call the patient."),
    ),
    PatientState.QUIET: Wording(
        gravity="low",
        name=mark("Quiet"),
        meaning=mark("Nothing has been measured for three whole days, and the way here is open."),
        advice=mark("Remind the patient."),
    ),
    PatientState.NOTHING_USABLE: Wording(
        gravity="medium",
        name=mark("Nothing usable"),
        meaning=mark("The patient measures, and no reading of three days or more can be used."),
        advice=mark("Show the patient how to measure, and check the cuff."),
    ),
    PatientState.NOTHING_YET: Wording(
        gravity="information",
        name=mark("Nothing yet"),
        meaning=mark("Enrolled lately, and nothing has been measured yet."),
    ),
    PatientState.MEASURING: Wording(
        gravity="information", name=mark("Measures"), meaning=mark("The patient measures.")
    ),
}

SUBJECTS: Final[Mapping[str, str]] = {
    "inbox": mark("inbox"),
    "webhook": mark("clinic's own system"),
    "broker": mark("the broker"),
    "intake": mark("the intake"),
    "judge": mark("the judge"),
    "push": mark("the sending of messages"),
    "settings": mark("the settings"),
}
"""Channels, and the parts that the watchdog may not get past."""
