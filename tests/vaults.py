"""What lies sealed in a clinic's database, opened."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from server.store import vault
from server.store.postgres import Connection
from server.store.quarantine import holder_of, place_of
from server.store.vault import Frames, Identity


def frames(conn: Connection) -> dict[UUID, Frames]:
    """Of every reading, as they came."""
    reading_ids = [row[0] for row in conn.execute("select reading_id from reading_raw").fetchall()]
    return dict(vault.frames_of(conn, reading_ids))


def quarantined(conn: Connection) -> list[tuple[str, str | None, bytes]]:
    """Reason, meter and bytes of each row, in the order in which they came."""
    rows = conn.execute(
        "select reason, meter_id, gateway_id, fingerprint, quarantine_id, raw from quarantine order by quarantine_id"
    ).fetchall()
    return [
        (reason, meter, _key(conn, meter, gateway).open(raw, place_of(gateway, fingerprint, number)))
        for reason, meter, gateway, fingerprint, number, raw in rows
    ]


def samples_beyond(conn: Connection) -> tuple[bytes, bytes]:
    """The first and the last that a gateway's full day did not keep."""
    ((gateway, first, last),) = conn.execute("select gateway_id, first_raw, last_raw from quarantine_day").fetchall()
    key = _key(conn, None, gateway)
    return key.open(first, f"quarantine_day.first_raw/{gateway}"), key.open(last, f"quarantine_day.last_raw/{gateway}")


def spoil(conn: Connection, seq: int, raw: bytes) -> None:
    """As if these bytes had come for this seq."""
    ((number, meter, gateway, fingerprint),) = conn.execute(
        "select quarantine_id, meter_id, gateway_id, fingerprint from quarantine where seq = %s", [seq]
    ).fetchall()
    sealed = _key(conn, meter, gateway).seal(raw, place_of(gateway, fingerprint, number))
    conn.execute("update quarantine set raw = %s where quarantine_id = %s", [sealed, number])


def rename(conn: Connection, patient_id: int, **said: Any) -> None:
    """The patient is somebody else."""
    was = vault.identity_of(conn, patient_id)
    is_now = {"name": was.name, "phone": was.phone, "birth_date": was.birth_date} | said
    if isinstance(is_now["birth_date"], str):
        is_now["birth_date"] = date.fromisoformat(is_now["birth_date"])
    vault.identify(conn, patient_id, Identity(**is_now))


def names(conn: Connection) -> Sequence[str]:
    ids = [row[0] for row in conn.execute("select patient_id from patient order by patient_id").fetchall()]
    return [vault.identity_of(conn, each).name for each in ids]


def _key(conn: Connection, meter_id: str | None, gateway_id: str) -> vault.Safe:
    holder = holder_of(meter_id, gateway_id)
    return vault.safes(conn, {holder: None})[holder]
