"""What must not lie in the database in plain: who a patient is, what is written about one, and the frames of the meters.

Each patient has a key of 256 random bits. It is kept in `data_key`, wrapped by a key that is not in the database
(`server.store.vault_keys`). Destroy it, and what it sealed is gone from every table and every backup at once. A value of ours
opens only at the place where it was sealed (table, column, row): none can be moved to another row. Vital signs are not sealed:
they lie under the patient's number, which says nothing without the vault. What no patient is known for yet (quarantine) is sealed
with a key of its meter or, failing that, of its gateway.
"""

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import Cursor

from server.errors import ErasedError
from server.store import vault_keys
from server.store.postgres import Connection, load_sql
from server.store.vault_keys import KEY_BYTES, NAME_BYTES, NONCE_BYTES

SQL: Final = load_sql("vault")

T = TypeVar("T")

_NUMBER: Final = 8
_WRAPPED: Final = NAME_BYTES + NONCE_BYTES + KEY_BYTES + 16
"""`vault_envelope` (SQL) puts before a sealed value the patient's number and wrapped key, so that one column opens by itself."""


@dataclass(frozen=True, slots=True)
class Safe:
    """One holder's key, unwrapped. It lives as long as the work at hand and is kept nowhere."""

    _cipher: AESGCM

    def seal(self, plain: bytes, place: str) -> bytes:
        """`place`: `table.column/row`, where it will lie and from where alone it opens."""
        return vault_keys.encrypt(self._cipher, plain, place)

    def open(self, sealed: bytes, place: str) -> bytes:
        """Raises `VaultError` if it was not sealed with this key for this place."""
        return vault_keys.decrypt(self._cipher, bytes(sealed), place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a patient is."""

    name: str = ""
    phone: str | None = None
    birth_date: date | None = None


def seal(conn: Connection, patient_id: int, plain: bytes, place: str) -> bytes:
    """Seal with the patient's key. Raises `ErasedError` if that has been destroyed."""
    return safe_of(conn, patient_id).seal(plain, place)


def open_sealed(conn: Connection, patient_id: int, sealed: bytes, place: str) -> bytes:
    """Open with the patient's key. Raises `ErasedError` if that has been destroyed."""
    return safe_of(conn, patient_id).open(sealed, place)


def safe_of(conn: Connection, patient_id: int) -> Safe:
    """The patient's key, made if there is none yet. Raises `ErasedError` if it has been destroyed."""
    found = safes_of(conn, [patient_id])
    if patient_id not in found:
        raise ErasedError(patient_id)
    return found[patient_id]


def safes_of(conn: Connection, patient_ids: Collection[int]) -> Mapping[int, Safe]:
    """The patients' keys, made where there are none yet. Who has been erased is not in it."""
    found = safes(conn, {f"patient:{each}": each for each in sorted(set(patient_ids))})
    return {int(holder.removeprefix("patient:")): safe for holder, safe in found.items()}


def safes(conn: Connection, holders: Mapping[str, int | None]) -> Mapping[str, Safe]:
    """Keys by holder; each with its patient, if it is one's. Made where there are none; those destroyed are not in it."""
    if not holders:
        return {}
    kept = _fetch(conn, list(holders))
    if missing := [each for each in holders if each not in kept]:
        wrapping = vault_keys.current()
        made = [wrapping.wrap(secrets.token_bytes(KEY_BYTES), each) for each in missing]
        conn.execute(
            SQL["add"], {"holder": missing, "patient_id": [holders[each] for each in missing], "wrapped": made}
        )
        kept |= _fetch(conn, missing)
    return {holder: _unwrapped(holder, wrapped) for holder, wrapped in kept.items() if wrapped is not None}


def _fetch(conn: Connection, holders: Sequence[str]) -> dict[str, bytes | None]:
    return dict(conn.execute(SQL["keys"], {"holder": holders}).fetchall())


def _unwrapped(holder: str, wrapped: bytes) -> Safe:
    wrapped = bytes(wrapped)
    return Safe(AESGCM(vault_keys.named(wrapped[:NAME_BYTES]).unwrap(wrapped, holder)))


# -- the wrapping key --------------------------------------------------------------------------------------------------


def check(conn: Connection) -> None:
    """Raises `VaultError` if there is no file of keys, or if it is not the one with which this database's keys are wrapped."""
    vault_keys.current()
    for (name,) in conn.execute(SQL["wrapping_keys"]).fetchall():
        vault_keys.named(bytes(name))


def begin_rotation(path: Path) -> None:
    """From now on a new key wraps; the old one opens what it has wrapped. A rotation that was broken off goes on instead."""
    kept = list(vault_keys.read(path).values())
    if len(kept) == 1:
        vault_keys.write(path, vault_keys.make(), *kept)


def rewrap_some(conn: Connection, limit: int = 500) -> int:
    """Wrap some keys anew; how many. No sealed value changes."""
    wrapping = vault_keys.current()
    rows = conn.execute(SQL["wrapped_otherwise"], {"name": wrapping.name, "limit": limit}).fetchall()
    fresh = [
        wrapping.wrap(vault_keys.named(bytes(old)[:NAME_BYTES]).unwrap(bytes(old), holder), holder)
        for holder, old in rows
    ]
    conn.execute(SQL["rewrap"], {"holder": [row[0] for row in rows], "wrapped": fresh})
    return len(rows)


def end_rotation(path: Path) -> None:
    """Every key has been wrapped anew: the old one is of no use any more and is not kept."""
    newest, *_ = vault_keys.read(path).values()
    vault_keys.write(path, newest)


# -- envelopes: sealed values that a statement brings with their keys --------------------------------------------------


def open_envelope(envelope: bytes, column: str, row: object = None) -> bytes:
    """What a view of envelopes gave; `row` where it is not the patient's own."""
    envelope = bytes(envelope)
    patient_id = int.from_bytes(envelope[:_NUMBER])
    safe = _unwrapped(f"patient:{patient_id}", envelope[_NUMBER : _NUMBER + _WRAPPED])
    return safe.open(envelope[_NUMBER + _WRAPPED :], f"{column}/{patient_id if row is None else row}")


def next_patient(conn: Connection) -> int:
    """The number of the next patient, which must be known before anything is sealed for one."""
    row = conn.execute(SQL["next_patient"]).fetchone()
    assert row is not None
    return int(row[0])


def identify(conn: Connection, patient_id: int, who: Identity) -> None:
    """Write down who the patient is. Raises `ErasedError` if that has been destroyed."""
    sealed = seal_identity(safe_of(conn, patient_id), patient_id, who)
    conn.execute(SQL["identify"], {"patient_id": patient_id, "identity": sealed})


def identity_of(conn: Connection, patient_id: int) -> Identity:
    """Who the patient is; of somebody erased, nothing."""
    row = conn.execute(SQL["identity"], {"patient_id": patient_id}).fetchone()
    return open_identity(row[0] if row else None)


def seal_identity(safe: Safe, patient_id: int, who: Identity) -> bytes:
    """For `patient.identity`."""
    said = {"name": who.name, "phone": who.phone, "birth_date": who.birth_date and who.birth_date.isoformat()}
    return safe.seal(json.dumps(said, ensure_ascii=False).encode(), f"patient.identity/{patient_id}")


def open_identity(envelope: bytes | None) -> Identity:
    """What `patient_identity` gave; of somebody erased, or of whom nothing was ever said, nothing."""
    if envelope is None:
        return Identity()
    said = json.loads(open_envelope(envelope, "patient.identity"))
    born = said["birth_date"]
    return Identity(name=said["name"], phone=said["phone"], birth_date=born and date.fromisoformat(born))


def identified(cls: Callable[..., T], **columns: str) -> Callable[[Cursor[Any]], Callable[[Sequence[Any]], T]]:
    """A row factory like psycopg's `class_row`, for rows with `identity` in these columns: each becomes that part of it.

    `identified(Alert, patient_name="name")`. Of nobody, a name is empty and everything else None; `name?` is None.
    """

    def factory(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], T]:
        names = [each.name for each in cursor.description or ()]
        opened = cache(open_identity)  # for these rows alone: whoever is erased is nobody in the next statement

        def make(values: Sequence[Any]) -> T:
            row = dict(zip(names, values, strict=True))
            for column, part in columns.items():
                is_nobody = row[column] is None and part.endswith("?")
                row[column] = None if is_nobody else getattr(opened(row[column]), part.removesuffix("?"))
            return cls(**row)

        return make

    return factory


# -- the frames of a reading -------------------------------------------------------------------------------------------


def seal_frames(
    safe: Safe, reading_id: UUID, raw: bytes, context_raw: bytes | None, sent: bytes
) -> tuple[bytes, bytes | None, bytes]:
    """What `reading_raw` keeps of a reading."""
    context = None if context_raw is None else safe.seal(context_raw, f"reading_raw.context_raw/{reading_id}")
    return (
        safe.seal(raw, f"reading_raw.raw/{reading_id}"),
        context,
        safe.seal(sent, f"reading_raw.sent/{reading_id}"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """A reading as it came. `sent`: the JSON of the gateway."""

    reading_id: UUID
    raw: bytes
    context_raw: bytes | None
    sent: bytes


def frames_of(conn: Connection, reading_ids: Collection[UUID]) -> Mapping[UUID, Frames]:
    """Those of these readings whose patient has not been erased."""
    rows = conn.execute(SQL["frames"], {"reading_id": list(reading_ids)}).fetchall()
    return {
        reading_id: Frames(
            reading_id=reading_id,
            raw=open_envelope(raw, "reading_raw.raw", reading_id),
            context_raw=context_raw and open_envelope(context_raw, "reading_raw.context_raw", reading_id),
            sent=open_envelope(sent, "reading_raw.sent", reading_id),
        )
        for reading_id, raw, context_raw, sent in rows
        if raw is not None
    }
