"""Calls that somebody is to make to a patient: a Task each, beside the Tasks that alerts are.

What was said on the telephone is not among it; whether somebody was spoken with is.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from server.fhir.codes import Resource, reference
from server.fhir.dates import instant
from server.fhir.devices import SOFTWARE
from server.store.follow_ups import FollowUp

PREFIX: Final = "call-"
"""Of a call's id, before its number."""
PRIORITIES: Final[Mapping[int, str]] = {0: "routine", 1: "routine", 2: "urgent", 3: "stat"}
"""By the most urgent alert that is still open."""
ENDINGS: Final[Mapping[str, str]] = {
    "settled": "completed",
    "advised": "completed",
    "visit_arranged": "completed",
    "meter_problem": "completed",
    "unreachable": "failed",
}
"""Completed: the patient was spoken with. Any other ending is cancelled."""


def call(task: FollowUp) -> Resource:
    """A call to a patient, open or over."""
    work: Resource = {
        "resourceType": "Task",
        "id": f"{PREFIX}{task.follow_up_id}",
        "meta": {"versionId": str(task.version), "lastUpdated": instant(changed_at(task))},
        "status": _status(task),
        "intent": "order",
        "priority": PRIORITIES[task.urgency],
        "code": {"text": "call the patient"},
        "for": reference("Patient", task.patient_id),
        "authoredOn": instant(task.opened_at),
        "lastModified": instant(changed_at(task)),
        "requester": {"display": task.opened_by} if task.opened_by else reference("Device", SOFTWARE),
        "restriction": {"period": {"end": instant(task.due_at)}},
    }
    if task.reasons:
        work["basedOn"] = [reference("DetectedIssue", each["episode_id"]) for each in task.reasons]
    if task.assigned_name:
        work["owner"] = {"display": task.assigned_name}
    if said := task.outcome or task.last_result:
        work["businessStatus"] = {"text": said}
    if task.closed_at:
        work["executionPeriod"] = {"end": instant(task.closed_at)}
    return work


def _status(task: FollowUp) -> str:
    if task.outcome:
        return ENDINGS.get(task.outcome, "cancelled")
    return "in-progress" if task.attempts else "accepted" if task.assigned_to else "requested"


def changed_at(task: FollowUp) -> datetime:
    """As far as a task's own instants say it."""
    return max(at for at in (task.opened_at, task.last_at, task.closed_at) if at is not None)
