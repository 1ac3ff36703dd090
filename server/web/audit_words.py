"""What the audit calls an act, in words. An act that is newer than this page is shown by its code."""

from collections.abc import Mapping
from typing import Final

from server.store.audit import Entry
from server.web.words import Words, mark

AREAS: Final = {
    "record": mark("Records: looked at, taken along"),
    "break_glass": mark("Records opened in an emergency"),
    "session": mark("Signing in and out"),
    "account": mark("Accounts"),
    "panel": mark("Panels"),
    "alert": mark("Decisions about alerts"),
    "silence": mark("Silences"),
    "follow_up": mark("Follow-ups"),
    "reading": mark("Corrections of readings"),
    "threshold": mark("Patients' own numbers"),
    "plan": mark("Plans"),
    "rule": mark("Rules"),
    "consent": mark("Consent"),
    "erasure": mark("Erasure"),
    "hold": mark("Legal holds"),
    "retention": mark("Retention"),
    "research": mark("Research exports"),
    "patient_link": mark("Patients' links"),
    "quarantine": mark("Quarantine"),
    "gateway": mark("Gateways"),
    "audit": mark("The audit itself"),
}
"""By which an auditor narrows; in this order."""

ACTS: Final = {
    "record.read": mark("looked at the record"),
    "record.list": mark("looked at a list"),
    "record.export": mark("took the record along"),
    "record.refuse": mark("was refused the record"),
    "break_glass.open": mark("opened the record in an emergency"),
    "break_glass.end": mark("closed the record opened in an emergency"),
    "break_glass.refuse": mark("was refused to open a record in an emergency"),
    "session.open": mark("signed in"),
    "session.close": mark("signed out"),
    "session.refuse": mark("sign-in failed"),
    "session.bar": mark("sign-in barred after too many failures"),
    "password.change": mark("changed the own password"),
    "passkey.add": mark("added a passkey"),
    "passkey.remove": mark("removed a passkey"),
    "account.add": mark("added an account"),
    "account.accept": mark("chose a password by a link"),
    "account.reset": mark("began an account anew"),
    "account.rename": mark("renamed an account"),
    "account.house": mark("noted by what name somebody comes from the house's own sign-in"),
    "account.role": mark("gave an account another role"),
    "account.close": mark("closed an account"),
    "account.reopen": mark("opened an account again"),
    "account.sign_out": mark("signed an account out everywhere"),
    "account.passkey": mark("removed an account's passkey"),
    "panel.add": mark("put the patient on a panel"),
    "panel.added": mark("put the patient on a panel"),
    "panel.removed": mark("took the patient off a panel"),
    "panel.transferred": mark("gave the patient over"),
    "panel.doctor_set": mark("set the patient's own doctor"),
    "alert.acknowledge": mark("acknowledged an alert"),
    "alert.snooze": mark("snoozed an alert"),
    "alert.resolve": mark("resolved an alert"),
    "alert.rate": mark("said whether an alert was useful"),
    "alert.note": mark("noted something about an alert"),
    "alert.undo": mark("undid a decision"),
    "alert.not_answered": mark("no decision in time about an urgent alert"),
    "silence.add": mark("silenced alerts"),
    "silence.end": mark("ended a silence"),
    "follow_up.opened": mark("opened a follow-up"),
    "follow_up.called": mark("noted a call"),
    "follow_up.assigned": mark("gave a follow-up to somebody"),
    "follow_up.moved": mark("moved a follow-up to another day"),
    "follow_up.closed": mark("closed a follow-up"),
    "follow_up.reopened": mark("opened a follow-up again"),
    "reading.void": mark("said that a reading is not to be used"),
    "reading.reassign": mark("gave a reading to another patient"),
    "reading.restore": mark("took a correction back"),
    "threshold.set": mark("set a number of the patient's own"),
    "preset.apply": mark("chose proposed rules for the patient"),
    "plan.set": mark("agreed a plan"),
    "consent.give": mark("noted a consent"),
    "consent.withdraw": mark("noted that a consent was withdrawn"),
    "record.code": mark("gave the patient a code for the record"),
    "erasure.ask": mark("asked for an erasure"),
    "erasure.refuse": mark("refused an erasure"),
    "erasure.restrict": mark("put the record under seal"),
    "erasure.destroy": mark("destroyed the record"),
    "erasure.prove": mark("looked for what is left"),
    "hold.add": mark("held the record"),
    "hold.end": mark("ended a hold"),
    "research.ask": mark("asked for a research project"),
    "research.approve": mark("approved a research project"),
    "research.export": mark("exported records for research"),
    "research.end": mark("ended a research project"),
    "retention.run": mark("removed what was over"),
    "report.made": mark("made a report"),
    "symptoms.answer": mark("answered about symptoms"),
    "patient_link.issue": mark("made a link to the patient's page"),
    "patient_link.revoke": mark("ended the patient's links"),
    "alarm.see": mark("saw an alarm"),
    "rule.approve": mark("approved a rule"),
    "rule.withdraw": mark("withdrew a rule"),
    "audit.read": mark("read the audit"),
}


def say_act(entry: Entry, words: Words) -> str:
    return words.among(ACTS, entry.act)


def say_about(entry: Entry, names: Mapping[int, str]) -> str:
    """What it was done to: an account by its name, anything else as it is written."""
    kind, _, number = entry.subject.partition(":")
    if kind == "user" and number.isdecimal():
        return names.get(int(number), entry.subject)
    return entry.subject


def say_detail(entry: Entry) -> str:
    """The plain facts beside it, as they are written."""
    return ", ".join(f"{name}: {value}" for name, value in sorted(entry.detail.items()) if value is not None)
