"""Who may come to which address: one table, asked by the door before anything is looked up; a test holds it against the app.

It says nothing of patients: whose record somebody sees is the panel's matter (`panels`) and the database's. What a role may do
with a record it sees (only a doctor sets a number) is said where it is done.
"""

from collections.abc import Mapping
from typing import Final

from server.people.errors import NotOnPanelError, WrongRoleError

Roles = frozenset[str]

ALL: Final[Roles] = frozenset({"doctor", "nurse", "patient", "admin", "auditor"})
CLINICIANS: Final[Roles] = frozenset({"doctor", "nurse"})
HOUSE: Final[Roles] = CLINICIANS | {"admin"}
ADMINS: Final[Roles] = frozenset({"admin"})
AUDITORS: Final[Roles] = frozenset({"auditor"})
OWN: Final[Roles] = CLINICIANS | {"patient"}
"""What a patient's own account may read of itself, too."""

NOBODY_YET: Final[Roles] = frozenset()
"""Who comes here is not signed in: a probe, a program with a secret of its own, a patient by the link, somebody who signs in."""

_NAMES_A_PATIENT: Final = (
    "{patient_id}",
    "{episode_id}",
    "{follow_up_id}",
    "{push_id}",
    "{device_id}",
    "{observation_id}",
    "{request_id}",
)

_SAID: Final[Mapping[Roles, str]] = {
    NOBODY_YET: """
        GET /healthz
        GET /readyz
        GET /metrics
        GET /asyncapi.json
        GET /fhir/metadata
        GET /fhir/.well-known/smart-configuration
        POST /fhir/auth/token
        POST /api/v1/login
        GET /login
        POST /login
        GET /login/house
        GET /login/house/back
        POST /login/passkey/ask
        POST /login/passkey
        GET /welcome/{token}
        POST /welcome/{token}
        POST /api/v1/own/{token}/symptoms
        POST /api/v1/own/{token}/answers
        GET /me/{token}
        GET /push-worker.js
        POST /me/{token}/symptoms
        POST /me/{token}/browser
        POST /me/{token}/browser/stop
        POST /me/{token}/taken
        POST /me/{token}/consent
        POST /me/{token}/record
        GET /me/{token}/app.webmanifest
        GET /me/{token}/report
    """,
    ALL: """
        GET /
        POST /api/v1/logout
        POST /logout
        GET /account
        POST /account/password
        POST /account/sessions/end
        POST /account/house
        POST /account/passkeys/ask
        POST /account/passkeys
        POST /account/passkeys/{passkey_id}/remove
    """,
    HOUSE | AUDITORS: """
        GET /api/v1/erasure-requests
        GET /erasures
        GET /api/v1/audit
        GET /api/v1/patients/{patient_id}/audit
    """,
    HOUSE: """
        POST /api/v1/erasure-requests/{request_id}/confirm
        POST /api/v1/erasure-requests/{request_id}/refuse
        POST /erasures/{request_id}/confirm
        POST /erasures/{request_id}/refuse
        GET /inbox
        POST /inbox/read
        GET /api/v1/inbox
        GET /fleet
        GET /fleet/news
        POST /fleet/alarms/{alarm_id}/seen
        GET /api/v1/fleet
        GET /quarantine
        POST /quarantine/bind
        POST /quarantine/set-aside
        POST /quarantine/open-again
        GET /api/v1/quarantine
        POST /api/v1/quarantine/bind
        POST /api/v1/quarantine/set-aside
        POST /api/v1/quarantine/open-again
        GET /programme
        GET /api/v1/programme
        GET /api/v1/silent-patients
        GET /rules
        GET /rules/backtest
        POST /rules/{rule_id}/{version}/approve
        POST /rules/{rule_id}/{version}/withdraw
        GET /account/contacts
        POST /account/contacts
        POST /account/contacts/{contact_id}/{what}
        GET /api/v1/channels
        GET /api/v1/contacts
        POST /api/v1/contacts
        DELETE /api/v1/contacts/{contact_id}
        POST /api/v1/contacts/{contact_id}/test
        GET /api/v1/ladders
        PUT /api/v1/ladders
        GET /api/v1/quiet-hours
        PUT /api/v1/quiet-hours/{subject}
        GET /api/v1/plan-templates
        GET /api/v1/alerts
        GET /api/v1/alerts/figures
        GET /api/v1/silences
        GET /api/v1/follow-ups
        GET /fhir/Group/panel
        GET /fhir/Group/panel/$export
        GET /fhir/export/{export_id}
        DELETE /fhir/export/{export_id}
        GET /fhir/export/{export_id}/{kind}
    """,
    AUDITORS: """
        GET /admin/audit
    """,
    ADMINS: """
        GET /admin/channels
        POST /admin/channels
        POST /admin/channels/desk
        POST /admin/channels/desk/{contact_id}/remove
        POST /admin/channels/{channel_id}/{what}
        POST /api/v1/channels
        DELETE /api/v1/channels/{channel_id}
        POST /api/v1/channels/{channel_id}/test
        GET /admin/users
        POST /admin/users
        GET /admin/users/{user_id}
        POST /admin/users/{user_id}/name
        POST /admin/users/{user_id}/house
        POST /admin/users/{user_id}/role
        POST /admin/users/{user_id}/{deed}
        POST /admin/users/{user_id}/passkeys/{passkey_id}/remove
        GET /admin/panels
        POST /admin/panels
        POST /admin/panels/all
        GET /api/v1/users
        POST /api/v1/users
        GET /api/v1/users/{user_id}
        POST /api/v1/users/{user_id}/name
        POST /api/v1/users/{user_id}/role
        POST /api/v1/users/{user_id}/reset
        POST /api/v1/users/{user_id}/close
        POST /api/v1/users/{user_id}/reopen
        POST /api/v1/users/{user_id}/sign-out
        DELETE /api/v1/users/{user_id}/passkeys/{passkey_id}
        GET /api/v1/panels/changes
        POST /api/v1/panels/changes
        GET /api/v1/panels/{user_id}
        GET /api/v1/claims
        POST /api/v1/claims
        POST /api/v1/claims/take-back
        POST /api/v1/claims/home-over
        GET /fleet/claim
        POST /fleet/claim
        POST /fleet/claim/take-back
        POST /fleet/claim/home-over
    """,
    CLINICIANS: """
        GET /p/{patient_id}/contacts
        POST /p/{patient_id}/contacts
        POST /p/{patient_id}/contacts/{contact_id}/{what}
        GET /api/v1/patients/{patient_id}/contacts
        POST /api/v1/patients/{patient_id}/contacts
        DELETE /api/v1/patients/{patient_id}/contacts/{contact_id}
        POST /api/v1/patients/{patient_id}/contacts/{contact_id}/test
        POST /masking
        GET /worklist/rows
        GET /worklist/row/{patient_id}
        GET /worklist/stream
        GET /worklist/news
        GET /follow-ups
        GET /silences
        POST /silences
        POST /silences/{silence_id}/end
        GET /api/v1/break-glass
        POST /api/v1/break-glass
        POST /api/v1/break-glass/{break_glass_id}/end
        GET /break-glass
        POST /break-glass
        POST /break-glass/{break_glass_id}/end
        GET /api/v1/alerts/{episode_id}
        GET /api/v1/alerts/{episode_id}/life
        POST /api/v1/alerts/{episode_id}/acknowledge
        POST /api/v1/alerts/{episode_id}/snooze
        POST /api/v1/alerts/{episode_id}/resolve
        POST /api/v1/alerts/{episode_id}/rate
        POST /api/v1/alerts/{episode_id}/notes
        POST /api/v1/alerts/{episode_id}/undo
        POST /api/v1/silences
        POST /api/v1/silences/{silence_id}/end
        POST /api/v1/patients/{patient_id}/readings/{reading_id}/void
        POST /api/v1/patients/{patient_id}/readings/{reading_id}/reassign
        POST /api/v1/patients/{patient_id}/readings/{reading_id}/restore
        GET /api/v1/patients/{patient_id}/thresholds
        PUT /api/v1/patients/{patient_id}/thresholds/{rule_id}
        GET /api/v1/patients/{patient_id}/presets
        POST /api/v1/patients/{patient_id}/presets
        POST /api/v1/follow-ups
        GET /api/v1/follow-ups/{follow_up_id}
        POST /api/v1/follow-ups/{follow_up_id}/calls
        POST /api/v1/follow-ups/{follow_up_id}/assign
        POST /api/v1/follow-ups/{follow_up_id}/move
        POST /api/v1/follow-ups/{follow_up_id}/close
        POST /api/v1/follow-ups/{follow_up_id}/reopen
        GET /api/v1/patients/{patient_id}/plan
        PUT /api/v1/patients/{patient_id}/plan
        GET /api/v1/patients/{patient_id}/adherence
        GET /a/{episode_id}
        POST /a/{episode_id}/acknowledge
        POST /a/{episode_id}/snooze
        POST /a/{episode_id}/resolve
        POST /a/{episode_id}/rate
        POST /a/{episode_id}/note
        POST /a/{episode_id}/undo
        GET /follow-ups/{follow_up_id}
        POST /follow-ups/{follow_up_id}/call
        POST /follow-ups/{follow_up_id}/close
        POST /follow-ups/{follow_up_id}/assign
        POST /follow-ups/{follow_up_id}/reopen
        POST /follow-ups
        POST /quarantine/assign
        POST /quarantine/release
        POST /api/v1/quarantine/assign
        POST /api/v1/quarantine/release
        GET /p/{patient_id}
        GET /p/{patient_id}/plan
        POST /p/{patient_id}/plan
        GET /p/{patient_id}/privacy
        POST /p/{patient_id}/privacy/consent
        GET /p/{patient_id}/privacy/record
        POST /p/{patient_id}/privacy/code
        POST /p/{patient_id}/privacy/hold
        POST /p/{patient_id}/privacy/hold/{hold_id}/end
        POST /p/{patient_id}/privacy/erasure
        POST /api/v1/patients/{patient_id}/consents
        POST /api/v1/patients/{patient_id}/record-code
        GET /api/v1/patients/{patient_id}/holds
        POST /api/v1/patients/{patient_id}/holds
        POST /api/v1/patients/{patient_id}/holds/{hold_id}/end
        POST /api/v1/patients/{patient_id}/erasure-requests
        GET /p/{patient_id}/rules
        POST /p/{patient_id}/rules/presets
        POST /p/{patient_id}/rules/{rule_id}
        GET /p/{patient_id}/r/{reading_id}
        POST /p/{patient_id}/r/{reading_id}/void
        POST /p/{patient_id}/r/{reading_id}/reassign
        POST /p/{patient_id}/r/{reading_id}/restore
        GET /report/{about}/{patient_id}
        GET /report/{about}/{patient_id}/pdf
    """,
    OWN: """
        GET /api/v1/patients/{patient_id}/consents
        GET /api/v1/patients/{patient_id}/record
        GET /api/v1/patients/{patient_id}/readings
        GET /api/v1/patients/{patient_id}/readings/{reading_id}
        GET /fhir/Patient
        GET /fhir/Patient/{patient_id}
        GET /fhir/Device
        GET /fhir/Device/{device_id}
        GET /fhir/Observation
        GET /fhir/Observation/{observation_id}
        GET /fhir/DetectedIssue
        GET /fhir/DetectedIssue/{episode_id}
        GET /fhir/Task
        GET /fhir/Task/{episode_id}
        GET /fhir/Task/call-{follow_up_id}
        GET /fhir/Communication
        GET /fhir/Communication/{push_id}
    """,
}

ACCESS: Final[Mapping[str, Roles]] = {
    line.strip(): roles for roles, said in _SAID.items() for line in said.split("\n") if line.strip()
}
"""`METHOD /path` as the route says it: the roles that may come."""


def may(role: str, method: str, path: str) -> bool:
    """Whether `role` may come to this address."""
    return role in ACCESS.get(f"{method} {path}", NOBODY_YET)


def admit(role: str, method: str, path: str) -> None:
    """Raises unless `role` may come to this address.

    `WrongRoleError`; where the address names a patient, `NotOnPanelError`: for that role there is no such record, whoever it is.
    """
    if may(role, method, path):
        return
    if any(name in path for name in _NAMES_A_PATIENT):
        raise NotOnPanelError("no such patient")
    roles = ACCESS.get(f"{method} {path}", NOBODY_YET)
    raise WrongRoleError(f"this is for {', '.join(sorted(roles)) or 'nobody'}; you are signed in as {role}")
