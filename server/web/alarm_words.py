"""The alarms in plain words, as `fleet_words` has the states: what it is called, what it means, what to do.

An alarm of a state only says where on the page the state is explained; an event says by itself what to do.
"""

from collections.abc import Mapping
from typing import Final

from server.store.alarms import AlarmKind
from server.web.fleet_words import Wording
from server.web.words import mark

ALARMS: Final[Mapping[str, Wording]] = {
    AlarmKind.GATEWAY_UNHEARD: Wording(
        gravity="medium", name=mark("Gateway not heard"), meaning=mark("See the gateway, below.")
    ),
    AlarmKind.NOBODY_HEARD: Wording(
        gravity="high", name=mark("Nobody is heard"), meaning=mark("See Hearing the gateways, at the top.")
    ),
    AlarmKind.GATEWAY_AILING: Wording(
        gravity="medium", name=mark("Gateway needs somebody"), meaning=mark("See the gateway, below.")
    ),
    AlarmKind.BATTERY_LOW: Wording(gravity="low", name=mark("Battery low"), meaning=mark("See the meter, below.")),
    AlarmKind.METER_SILENT: Wording(gravity="medium", name=mark("Meter silent"), meaning=mark("See the meter, below.")),
    AlarmKind.PATIENT_SILENT: Wording(
        gravity="medium", name=mark("Patient silent"), meaning=mark("See the patient, below.")
    ),
    AlarmKind.JUDGE_LAG: Wording(
        gravity="high", name=mark("Not judged in time"), meaning=mark("See Judging readings, at the top.")
    ),
    AlarmKind.PUSH_UNDELIVERED: Wording(
        gravity="high", name=mark("Messages not delivered"), meaning=mark("See Sending messages, at the top.")
    ),
    AlarmKind.HOLE: Wording(gravity="high", name=mark("Readings missing"), meaning=mark("See the gateway, below.")),
    AlarmKind.ACCOUNT_UNBALANCED: Wording(
        gravity="high", name=mark("Account does not balance"), meaning=mark("See the gateway, below.")
    ),
    AlarmKind.WATCHDOG_LATE: Wording(
        gravity="high", name=mark("Watchdog did not come through"), meaning=mark("See Watchdog, at the top.")
    ),
    AlarmKind.RECOMPUTE_DIFFERENT: Wording(
        gravity="high", name=mark("Recompute is different"), meaning=mark("See Nightly recompute, at the top.")
    ),
    AlarmKind.RECOMPUTE_OVERDUE: Wording(
        gravity="high", name=mark("Recompute is overdue"), meaning=mark("See Nightly recompute, at the top.")
    ),
    AlarmKind.RULES_WAITING: Wording(
        gravity="high",
        name=mark("Rules wait for approval"),
        meaning=mark("A rule judges nobody before a doctor has approved it. What was approved before goes on judging."),
        advice=mark("A doctor reads what is new on the page Rules and decides about it."),
    ),
    AlarmKind.RULE_EDITED: Wording(
        gravity="high",
        name=mark("A rule was edited"),
        meaning=mark(
            "This build brings another text under the same version. It is not used; what was approved judges."
        ),
        advice=mark("Restore the file, or give the rule its next version."),
    ),
    AlarmKind.AUDIT_UNANCHORED: Wording(
        gravity="high",
        name=mark("Audit trail not anchored"),
        meaning=mark("For an hour nobody outside has been told how far it has come. Its end could be cut off unseen."),
        advice=mark("Check the folder of anchors and the time-stamping authority in the server's settings."),
    ),
    AlarmKind.AUDIT_CHANGED: Wording(
        gravity="high",
        name=mark("Audit trail was changed"),
        meaning=mark("Something that was written down is no longer what it was. HomeVigil itself never changes it."),
        advice=mark("Keep the database as it is, and have the audit trail verified on the server."),
    ),
    AlarmKind.TRACE_LEFT: Wording(
        gravity="high",
        name=mark("Something of an erased patient is left"),
        meaning=mark("It was looked for after the erasure, and found. The page of erasures says where."),
        advice=mark("Remove it there, in copies and logs as well, and write down that you did."),
    ),
    AlarmKind.SERVER_LOST: Wording(
        gravity="high",
        name=mark("This server has lost readings"),
        meaning=mark("A gateway had a receipt for readings that are not here: the database was set back."),
        advice=mark(
            "They are asked for again by themselves. Check that the restore was meant, and that none stay missing."
        ),
    ),
    AlarmKind.PUSH_DEAD: Wording(
        gravity="high",
        name=mark("A message was given up"),
        meaning=mark("A message could not be delivered; the next person in line was told."),
        advice=mark("Reach the person in another way, and repair the channel."),
    ),
    AlarmKind.NOT_ANSWERED: Wording(
        gravity="high",
        name=mark("Urgent alert without a decision"),
        meaning=mark("Ten minutes after an urgent reading had arrived, no clinician's decision was on record."),
        advice=mark("Open the patient's alert now and decide. Then find out why nobody had."),
    ),
    AlarmKind.ID_COLLISION: Wording(
        gravity="high",
        name=mark("Two contents under one id"),
        meaning=mark("A reading came again with other values. The first stays; the second is put aside."),
        advice=mark("Report it: it is a fault in a program, or somebody tampers."),
    ),
    AlarmKind.BINDING_CONFLICT: Wording(
        gravity="high",
        name=mark("Meter read in another home"),
        meaning=mark("A meter bound in one home was read in another. Those readings are put aside, nobody's."),
        advice=mark("Ask both homes who has the meter. Check whose the readings of the last days are, then bind it."),
    ),
    AlarmKind.GATEWAY_SUSPENDED: Wording(
        gravity="high",
        name=mark("Gateway suspended"),
        meaning=mark("It spoke in another gateway's name and is no longer listened to."),
        advice=mark("Find out whether it was renamed or tampered with, then activate or revoke it."),
    ),
    AlarmKind.IDENTITY_COPIED: Wording(
        gravity="high",
        name=mark("Two boxes as one gateway"),
        meaning=mark("Two boxes have the same key and push each other off the broker by turns: a card was copied."),
        advice=mark("Find both boxes. Revoke the gateway, restore it, and enrol each box that stays by a new code."),
    ),
    AlarmKind.FLOOD: Wording(
        gravity="medium",
        name=mark("Too many readings"),
        meaning=mark("A gateway sends far more than a home can measure. Others are not held up."),
        advice=mark("Look at the gateway's log. If it does not stop, suspend it."),
    ),
    AlarmKind.QUARANTINE_FULL: Wording(
        gravity="medium",
        name=mark("Quarantine full for today"),
        meaning=mark("A gateway has sent so much that cannot be taken that the rest of today is only counted."),
        advice=mark("Look at the quarantine and at the gateway's log."),
    ),
}
