"""A patient takes the whole record along, by the link to the own page and a code that somebody at the clinic has given them.

The link alone does not open the record: it may lie in a chat, on a lent telephone, or with a relative who helps to measure, and
it shows what is needed for that and no more. The code goes another way, by word of mouth; it lasts a quarter of an hour, opens
once, and five wrong tries end it. A patient with an account of their own needs none.
"""

import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final

from server.people import links, panels, portability
from server.people.errors import NotOnPanelError, OnlyInEmergencyError
from server.people.tokens import hash_token
from server.store import audit
from server.store import erasure_requests as store
from server.store.postgres import Connection, Pool, in_transaction

LASTS_FOR: Final = timedelta(minutes=15)
TRIES: Final = 5
DIGITS: Final = 8
"""Five tries at eight digits: one in twenty million finds it."""


class WrongCodeError(Exception):
    """The code is another, has ended, or has been tried too often; which of them is not said."""


def give(conn: Connection, patient_id: int, *, user_id: int, now: datetime) -> tuple[str, datetime]:
    """A code for a patient whom the user sees, and when it ends; an earlier one ends now. Raises `NotOnPanelError`."""
    panels.check_regular(conn, user_id=user_id, patient_id=patient_id)
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
    ends_at = now + LASTS_FOR
    store.give_code(conn, patient_id, code_hash=_hash(patient_id, code), by=user_id, ends_at=ends_at)
    audit.note(conn, actor=f"user:{user_id}", act="record.code", at=now, patient_id=patient_id)
    return code, ends_at


def take(pool: Pool, token: str, code: str, *, base: str, now: datetime) -> bytes:
    """The record as a ZIP file. Raises `NotOnPanelError` where the link opens nothing, `WrongCodeError`."""
    packed = in_transaction(pool, lambda conn: _take(conn, token, code, base=base, now=now))
    if packed is None:
        raise WrongCodeError("this code opens nothing: ask your clinic for another")
    return packed


def _take(conn: Connection, token: str, code: str, *, base: str, now: datetime) -> bytes | None:
    """None for a wrong code: its try stays counted, so this transaction is not rolled back for it."""
    patient_id = links.find_patient(conn, token, now=now)
    if patient_id is None:
        raise NotOnPanelError("no such page")
    found = store.try_code(conn, patient_id, tries=TRIES, now=now)
    digits = "".join(each for each in code if each.isdigit())
    if found is None or not hmac.compare_digest(found[0], _hash(patient_id, digits)):
        audit.note(conn, actor=f"patient:{patient_id}", act="record.refuse", at=now, patient_id=patient_id)
        return None
    store.end_code(conn, patient_id)
    try:
        return portability.export(conn, patient_id, user_id=found[1], actor=f"patient:{patient_id}", base=base, now=now)
    except (NotOnPanelError, OnlyInEmergencyError):  # whoever gave the code does not see the patient any more
        return None


def _hash(patient_id: int, code: str) -> bytes:
    return hash_token(f"{patient_id}:{code}")
