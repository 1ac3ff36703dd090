"""Alerts, what people do about them, and who was told: DetectedIssue, Task, Communication.

A DetectedIssue is what a rule found, with the readings it was found in as evidence; the Task is the clinic's work of it; a
Communication is one message to one recipient, with when it was sent.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from server.fhir.codes import Resource, reference
from server.fhir.dates import instant
from server.fhir.devices import SOFTWARE
from server.store.worklist import Alert, ShownPush

RULES: Final = "urn:homevigil:rule"
SEVERITIES: Final[Mapping[str, str]] = {"high": "high", "medium": "moderate", "low": "low", "information": "low"}
"""FHIR has three; the product's own word stands beside it in the code's text."""
TASK_STATES: Final[Mapping[str, str]] = {
    "active": "requested",
    "acknowledged": "accepted",
    "snoozed": "on-hold",
    "resolved": "completed",
    "retracted": "cancelled",
}
TASK_PRIORITIES: Final[Mapping[str, str]] = {
    "high": "stat",
    "medium": "urgent",
    "low": "routine",
    "information": "routine",
}
SENT_STATES: Final[Mapping[str, str]] = {
    "pending": "preparation",
    "sent": "completed",
    "cancelled": "stopped",
    "withdrawn": "entered-in-error",
    "dead": "not-done",
    "undeliverable": "not-done",
}


def detected_issue(alert: Alert, readings: Sequence[UUID]) -> Resource:
    """What a rule found. `readings`: those that its verdict names."""
    issue: Resource = {
        "resourceType": "DetectedIssue",
        "id": str(alert.episode_id),
        "meta": {"versionId": str(alert.version), "lastUpdated": instant(changed_at(alert))},
        "status": "cancelled" if alert.state == "retracted" else "final",
        "code": {
            "coding": [{"system": RULES, "version": str(alert.rule_version), "code": alert.rule_id}],
            "text": _said(alert),
        },
        "severity": SEVERITIES[alert.priority],
        "patient": reference("Patient", alert.patient_id),
        "identifiedDateTime": instant(alert.opened_at),
        "author": reference("Device", SOFTWARE),
        "detail": _said(alert),
    }
    if readings:
        issue["evidence"] = [{"detail": [reference("Observation", each) for each in readings]}]
    if mitigation := _mitigation(alert):
        issue["mitigation"] = mitigation
    return issue


def task(alert: Alert) -> Resource:
    """The work that an alert is for the clinic."""
    work: Resource = {
        "resourceType": "Task",
        "id": str(alert.episode_id),
        "meta": {"versionId": str(alert.version), "lastUpdated": instant(changed_at(alert))},
        "status": TASK_STATES[alert.state],
        "intent": "order",
        "priority": TASK_PRIORITIES[alert.priority],
        "description": _said(alert),
        "focus": reference("DetectedIssue", alert.episode_id),
        "for": reference("Patient", alert.patient_id),
        "authoredOn": instant(alert.judged_at),
        "lastModified": instant(changed_at(alert)),
        "requester": reference("Device", SOFTWARE),
    }
    if owner := alert.resolved_by or alert.acknowledged_by:
        work["owner"] = {"display": owner}
    if alert.acknowledged_at:
        ended = {"end": instant(alert.resolved_at)} if alert.resolved_at else {}
        work["executionPeriod"] = {"start": instant(alert.acknowledged_at), **ended}
    if alert.resolution:
        work["businessStatus"] = {"text": alert.resolution}
    return work


def communication(push: ShownPush, patient_id: int, language: str) -> Resource:
    """One message: to whom, by which way, when, and what it said."""
    text = push.text.get(language) or next(iter(push.text.values()), {})
    told: Resource = {
        "resourceType": "Communication",
        "id": str(push.push_id),
        "status": SENT_STATES[push.state],
        "category": [{"text": "alert"}],
        "medium": [{"text": push.channel}],
        "subject": reference("Patient", patient_id),
        "about": [reference("DetectedIssue", push.episode_id)],
        "recipient": [_recipient(push, patient_id)],
        "sender": reference("Device", SOFTWARE),
        "payload": [{"contentString": said} for said in (text.get("title"), text.get("body")) if said],
    }
    if push.state in ("dead", "undeliverable"):
        told["statusReason"] = {"text": push.state}
    if push.sent_at:
        told["sent"] = instant(push.sent_at)
    if push.read_at:
        told["received"] = instant(push.read_at)
    return told


def _recipient(push: ShownPush, patient_id: int) -> Resource:
    if push.recipient == "patient":
        return reference("Patient", patient_id)
    return {"display": push.recipient_name or push.recipient}


def _mitigation(alert: Alert) -> list[Resource]:
    """What people did about it, by the product's own words."""
    steps = (
        ("acknowledged", alert.acknowledged_at, alert.acknowledged_by),
        (alert.resolution or "resolved", alert.resolved_at, alert.resolved_by),
    )
    return [
        {"action": {"text": what}, "date": instant(at), **({"author": {"display": who}} if who else {})}
        for what, at, who in steps
        if at is not None
    ]


def _said(alert: Alert) -> str:
    return alert.sentence.get("en") or next(iter(alert.sentence.values()), alert.rule_id)


def changed_at(alert: Alert) -> datetime:
    """As far as an alert's own instants say it."""
    return max(at for at in (alert.judged_at, alert.acknowledged_at, alert.resolved_at) if at is not None)
