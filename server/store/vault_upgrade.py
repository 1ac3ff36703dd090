"""Seals what earlier builds kept in plain: between two migrations, in small transactions; broken off, it goes on from there.

What has been sealed is gone from its old place in the same transaction. Raises `VaultError` if there is something to seal and
no key.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from server.store import vault
from server.store.postgres import Connection
from server.store.pushes import seal_secret
from server.store.quarantine import holder_of, place_of
from server.store.vault import SQL, Identity, Safe, seal_frames, seal_identity

log = structlog.get_logger()

BATCH: Final = 2000
HOUSE: Final = "house"
"""Whose key seals frames of readings that are not there: nobody knows whose they were."""


def seal_stored_rows(conn: Connection) -> None:
    """Seal all that is not sealed. The connection commits by itself; nobody else writes."""
    sealed = {
        "patients": _repeat(conn, _seal_patients),
        "frames": _seal_frames(conn),
        "quarantine": _repeat(conn, _seal_quarantine),
        "days": _repeat(conn, _seal_days),
    }
    if any(sealed.values()):
        log.info("sealed", **sealed)


def seal_webhooks(conn: Connection) -> None:
    """Seal the secrets with which webhooks are signed, all or none. The connection commits by itself."""
    with conn.transaction():
        rows = conn.execute(SQL["unsealed_webhooks"]).fetchall()
        for webhook_id, secret, old_secret in rows:
            sealed = seal_secret(conn, webhook_id, secret)
            old_sealed = None if old_secret is None else seal_secret(conn, webhook_id, old_secret)
            conn.execute(SQL["seal_webhook"], {"webhook_id": webhook_id, "sealed": sealed, "old_sealed": old_sealed})
    if rows:
        log.info("sealed", webhooks=len(rows))


def _repeat(conn: Connection, work: Callable[[Connection], int]) -> int:
    done = 0
    while True:
        with conn.transaction():
            step = work(conn)
        if not step:
            return done
        done += step


def _seal_patients(conn: Connection) -> int:
    rows = conn.execute(SQL["unsealed_patients"], {"limit": BATCH}).fetchall()
    keys = vault.safes_of(conn, [row[0] for row in rows])
    sealed = [
        seal_identity(keys[patient_id], patient_id, Identity(name=name, phone=phone, birth_date=birth_date))
        for patient_id, name, phone, birth_date in rows
    ]
    conn.execute(SQL["seal_patients"], {"patient_id": [row[0] for row in rows], "identity": sealed})
    return len(rows)


def _seal_frames(conn: Connection) -> int:
    """Patient by patient, for the table of readings is ordered by them; then what belongs to no reading."""
    done = 0
    for (patient_id,) in conn.execute(SQL["patients"]).fetchall():
        done += _repeat(conn, lambda conn, of=patient_id: _seal_some(conn, of))  # type: ignore[misc]
    return done + _repeat(conn, lambda conn: _seal_some(conn, None))


def _seal_some(conn: Connection, patient_id: int | None) -> int:
    wanted = {"patient_id": patient_id, "limit": BATCH}
    rows = conn.execute(
        SQL["unsealed_frames_of_nobody" if patient_id is None else "unsealed_frames"], wanted
    ).fetchall()
    if not rows:
        return 0
    key = vault.safes(conn, {HOUSE: None})[HOUSE] if patient_id is None else vault.safe_of(conn, patient_id)
    conn.execute(SQL["seal_frames"], _columns(key, rows) | {"patient_id": patient_id})
    return len(rows)


def _columns(key: Safe, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    sealed = [
        seal_frames(key, reading_id, bytes(raw), None if context is None else bytes(context), sent.encode())
        for reading_id, raw, context, sent in rows
    ]
    raw, context_raw, sent = (list(each) for each in zip(*sealed, strict=True))
    return {"reading_id": [row[0] for row in rows], "raw": raw, "context_raw": context_raw, "sent": sent}


def _seal_quarantine(conn: Connection) -> int:
    rows = conn.execute(SQL["unsealed_quarantine"], {"limit": BATCH}).fetchall()
    keys = vault.safes(conn, dict.fromkeys(sorted({holder_of(meter, gateway) for _, meter, gateway, _, _ in rows})))
    sealed = [
        keys[holder_of(meter, gateway)].seal(bytes(raw), place_of(gateway, fingerprint, quarantine_id))
        for quarantine_id, meter, gateway, fingerprint, raw in rows
    ]
    conn.execute(SQL["seal_quarantine"], {"quarantine_id": [row[0] for row in rows], "raw": sealed})
    return len(rows)


def _seal_days(conn: Connection) -> int:
    rows = conn.execute(SQL["unsealed_days"], {"limit": BATCH}).fetchall()
    keys = vault.safes(conn, dict.fromkeys(sorted({f"gateway:{row[0]}" for row in rows})))

    def sealed(gateway_id: str, column: str, raw: bytes | None) -> bytes | None:
        return raw and keys[f"gateway:{gateway_id}"].seal(bytes(raw), f"quarantine_day.{column}/{gateway_id}")

    columns = {
        "gateway_id": [row[0] for row in rows],
        "day": [row[1] for row in rows],
        "first_raw": [sealed(row[0], "first_raw", row[2]) for row in rows],
        "last_raw": [sealed(row[0], "last_raw", row[3]) for row in rows],
    }
    conn.execute(SQL["seal_days"], columns)
    return len(rows)
