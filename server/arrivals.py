"""What came in by MQTT, opened: each row a reading that can be looked at alone, or a refusal with its reason. Pure.

One bad row never costs the others: where the text of an envelope is unfit as a whole (NaN, a key said twice, a broken
character), the rows that are clean by themselves are taken and the others refused. What is wrong *between* rows and the
clinic's records (whose meter, what time) is for `intake`.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Raw

from vitals.envelope import (
    BRACKETS,
    MAX_BYTES_TAKEN,
    MAX_DEPTH,
    MAX_READINGS,
    Envelope,
    Row,
    decode_envelope,
    decode_reading,
)
from vitals.errors import MalformedError
from vitals.reading import Reading

RAW_KEPT: Final = 4 * 1024
"""Bytes of a refused message that quarantine keeps; what a later build will read is kept whole."""

RESCUED_UP_TO: Final = 4 * MAX_BYTES_TAKEN
"""A longer message is not looked into for its seqs: our own broker lets none of that size pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A reading that decodes and speaks for its own gateway. `sent` is its JSON."""

    seq: int
    reading: Reading
    sent: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row, or a whole message (`seq` None), that is to be quarantined. `raw` is all of it."""

    seq: int | None
    reason: str
    detail: str
    raw: bytes
    meter_id: str | None = None
    user_slot: int | None = None

    @property
    def kept(self) -> bytes:
        return self.raw if self.reason in ("schema_newer", "kind_newer") else self.raw[:RAW_KEPT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One message. `answered` are the seqs that a receipt must name although no row of theirs could be looked at.

    `message_hash` is of the payload: a message that is sent again is the same one.
    """

    gateway_id: str
    epoch: str | None
    rows: tuple[Candidate | Refused, ...]
    message_hash: bytes
    answered: tuple[int, ...] = ()

    def refuse_all(self, reason: str, detail: str) -> "Arrival":
        """The same message with every row refused, and no answer."""
        return Arrival(
            gateway_id=self.gateway_id,
            epoch=self.epoch,
            rows=tuple(refuse(row, reason, detail) if isinstance(row, Candidate) else row for row in self.rows),
            message_hash=self.message_hash,
        )


def refuse(row: Candidate, reason: str, detail: str) -> Refused:
    """The row as one that goes to quarantine."""
    reading = row.reading
    return Refused(
        seq=row.seq,
        reason=reason,
        detail=detail,
        raw=row.sent,
        meter_id=reading.meter_id,
        user_slot=reading.user_slot,
    )


def open_message(payload: bytes, *, topic_gateway: str) -> Arrival:
    """The rows of `payload`, which came on the topic of `topic_gateway`. Never raises."""
    try:
        envelope = decode_envelope(payload)
    except MalformedError as fault:
        return _rescue(payload, fault, topic_gateway)
    return _opened(envelope, (), topic_gateway, hash_of(payload))


def open_row(raw: bytes, *, epoch: str | None, seq: int, topic_gateway: str) -> Arrival:
    """One row of an envelope that was opened long ago, as its bytes were put away. Never raises."""
    row = _row(Row(seq=seq, reading=Raw(raw)), topic_gateway)
    return Arrival(gateway_id=topic_gateway, epoch=epoch, rows=(row,), message_hash=hash_of(raw))


def hash_of(payload: bytes) -> bytes:
    """By which a message that comes again is known."""
    return hashlib.sha256(payload).digest()


def _opened(envelope: Envelope, lost: tuple[Refused, ...], topic_gateway: str, message_hash: bytes) -> Arrival:
    rows = tuple(_row(row, envelope.gateway_id) for row in envelope.readings)
    arrival = Arrival(gateway_id=topic_gateway, epoch=envelope.epoch, rows=(*rows, *lost), message_hash=message_hash)
    if envelope.gateway_id == topic_gateway:
        return arrival
    return arrival.refuse_all("wrong_gateway", f"the envelope says {envelope.gateway_id}, seq {rows[0].seq}")


def _row(row: Row, gateway_id: str) -> Candidate | Refused:
    sent = bytes(row.reading)
    try:
        reading = decode_reading(row)
    except MalformedError as fault:
        return Refused(seq=row.seq, reason=fault.reason, detail=fault.message, raw=sent)
    candidate = Candidate(seq=row.seq, reading=reading, sent=sent)
    if reading.gateway_id != gateway_id:
        return refuse(candidate, "wrong_gateway", f"the reading says {reading.gateway_id}, seq {row.seq}")
    return candidate


def _rescue(payload: bytes, fault: MalformedError, topic_gateway: str) -> Arrival:
    """What can be saved of a message that is unfit as a whole."""
    loose = _read_loosely(payload) if len(payload) <= RESCUED_UP_TO else None
    if loose is not None and len(payload) <= MAX_BYTES_TAKEN and fault.reason.startswith("decode:"):
        around = {key: value for key, value in loose.items() if key != "readings"}
        clean, lost = _part(loose, fault)
        if clean and _flaw_of(around) is None:
            try:
                envelope = decode_envelope(json.dumps({**around, "readings": clean}).encode())
            except MalformedError:
                pass
            else:
                return _opened(envelope, lost, topic_gateway, hash_of(payload))
    return Arrival(
        gateway_id=topic_gateway,
        epoch=_epoch_of(loose),
        rows=(Refused(seq=None, reason=fault.reason, detail=fault.message, raw=payload),),
        message_hash=hash_of(payload),
        answered=tuple(_seqs_of(loose))[:MAX_READINGS],
    )


def _part(loose: dict[str, Any], fault: MalformedError) -> tuple[list[Any], tuple[Refused, ...]]:
    """The rows that are clean by themselves, and the others as refusals."""
    rows = loose.get("readings")
    if not isinstance(rows, list) or len(rows) > MAX_READINGS:
        return [], ()
    clean: list[Any] = []
    lost: list[Refused] = []
    for row in rows:
        reason = _flaw_of(row)
        if reason is None and _has_row_shape(row):
            clean.append(row)
        else:
            lost.append(_lost(row, reason or fault.reason))
    return clean, tuple(lost)


def _lost(row: Any, reason: str) -> Refused:
    raw = json.dumps(row, default=lambda flaw: f"<{flaw.reason}>").encode()
    return Refused(seq=_seq_of(row), reason=reason, detail="refused alone; its neighbours were taken", raw=raw)


def _has_row_shape(row: Any) -> bool:
    return isinstance(row, dict) and row.keys() == {"seq", "reading"} and _seq_of(row) is not None


# Reading what a strict reader refuses: each flaw stays where it was found, as a value of its own.


@dataclass(frozen=True, slots=True)
class _Flaw:
    reason: str


def _read_loosely(payload: bytes) -> dict[str, Any] | None:
    """The object that the message means to be, with a `_Flaw` in place of what no JSON may hold; None if there is none."""
    try:
        found = json.loads(
            _pruned(payload.decode("utf-8", "surrogateescape")),
            strict=False,
            parse_constant=lambda _: _Flaw("decode:json"),
            parse_int=lambda digits: int(digits) if len(digits) < 20 else _Flaw("decode:json"),
            parse_float=_float,
            object_pairs_hook=_pairs,
        )
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _pruned(text: str) -> str:
    """The text with NaN, which is a flaw, in place of what lies deeper than any envelope: nothing may exhaust the stack."""
    kept, kept_to, depth = [], 0, 0
    for found in BRACKETS.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += [text[kept_to : found.start()], "NaN"]
        elif found[0] in "]}":
            if depth == MAX_DEPTH + 1:
                kept_to = found.end()
            depth -= 1
    return "".join(kept) if depth > MAX_DEPTH else "".join((*kept, text[kept_to:]))


def _float(digits: str) -> Any:
    value = float(digits)
    return value if math.isfinite(value) else _Flaw("decode:json")


def _pairs(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        found["\0flaw"] = _Flaw("decode:duplicate_key")
    return found


def _flaw_of(value: Any) -> str | None:
    """The first flaw in a value, or None."""
    match value:
        case _Flaw():
            return value.reason
        case str():
            if any("\ud800" <= character <= "\udfff" for character in value):
                return "decode:utf8"
            return "decode:json" if any(character < " " for character in value) else None
        case dict():
            parts: list[Any] = [*value.values(), *value.keys()]
        case list():
            parts = value
        case _:
            return None
    return next((flaw for flaw in map(_flaw_of, parts) if flaw is not None), None)


def _epoch_of(loose: dict[str, Any] | None) -> str | None:
    epoch = loose.get("epoch") if loose else None
    is_epoch = isinstance(epoch, str) and 16 <= len(epoch) <= 32 and set(epoch) <= set("0123456789abcdef")
    return epoch if is_epoch else None


def _seqs_of(loose: dict[str, Any] | None) -> Iterator[int]:
    rows = loose.get("readings") if loose else None
    for row in rows if isinstance(rows, list) else ():
        seq = _seq_of(row)
        if seq is not None:
            yield seq


def _seq_of(row: Any) -> int | None:
    seq = row.get("seq") if isinstance(row, dict) else None
    return seq if isinstance(seq, int) and not isinstance(seq, bool) and 1 <= seq <= 2**53 else None
