"""What travels over MQTT: an envelope of readings up, a receipt down; one strict definition for both ends.

A gateway numbers its readings densely (`seq` 1, 2, 3 …) within a random `epoch`, the life of one outbox file. The receipt
is the only thing that lets the outbox confirm: a PUBACK says that a broker has the message in memory, no more.

Rows are decoded one by one, so that one bad reading never costs the others.
"""

import json
import re
from datetime import datetime
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from vitals.errors import MalformedError
from vitals.reading import KINDS, Identifier, Reading

VERSION: Final = 1
MAX_READINGS: Final = 100
"""Readings in one envelope: one commit's worth at the server (docs/reference/wire)."""
MAX_BYTES_SENT: Final = 16 * 1024
"""A gateway never publishes more: one message over the broker's limit is disconnected and resent for ever."""
MAX_BYTES_TAKEN: Final = 32 * 1024
"""A server never decodes more."""
MAX_SPANS: Final = 100
"""Spans of missing seqs in one receipt; what does not fit is named by a later one."""
MAX_DEPTH: Final = 8
"""An honest envelope is five levels deep. How deep a parser can go differs between Pythons; what is refused must not."""

Epoch = Annotated[str, Meta(pattern=r"^[0-9a-f]{16,32}\Z")]
Seq = Annotated[int, Meta(ge=1, le=2**53)]
Question = Annotated[str, Meta(min_length=1, max_length=96)]
"""What a gateway wants to hear again with the time, so that it knows when it has asked."""


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One numbered reading, still in the bytes in which it came."""

    seq: Seq
    reading: Raw


class Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Readings of one gateway, each with its own dense `seq` within `epoch`."""

    v: int = VERSION
    gateway_id: Identifier
    epoch: Epoch
    readings: Annotated[tuple[Row, ...], Meta(min_length=1, max_length=MAX_READINGS)]


class Rejection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row that the server keeps in quarantine instead of storing: do not send it again."""

    seq: Seq
    reason: Annotated[str, Meta(max_length=64)]


class Receipt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the server has committed: every seq up to `upto`, each in `extra`, and each in `rejected` (quarantined).

    `missing`: inclusive spans `(first, last)` of seqs that were answered and that the server does not have any more (its
    database was set back to an earlier state): send these again. Ascending, without overlap. A seq that the same receipt
    also confirms is missing.

    `asked` and `at` answer a status that asks for the time: its question, and the server's clock between question and answer.
    """

    v: int = VERSION
    epoch: Epoch
    upto: Annotated[int, Meta(ge=0, le=2**53)]
    extra: tuple[Seq, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    missing: Annotated[tuple[tuple[Seq, Seq], ...], Meta(max_length=MAX_SPANS)] = ()
    asked: Question | None = None
    at: Annotated[datetime, Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` unless the spans of `missing` ascend, and a time answers a question."""
        if (self.asked is None) != (self.at is None):
            raise ValueError("a time without the question, or a question without the time")
        before = 0
        for first, last in self.missing:
            if not before < first <= last:
                raise ValueError("the spans of missing seqs do not ascend")
            before = last

    @property
    def names_something(self) -> bool:
        """Whether it is about any reading, and not only about the time."""
        return bool(self.upto or self.extra or self.rejected or self.missing)


class _VersionOnly(Struct, frozen=True):
    v: int


class _KindOnly(Struct, frozen=True):
    kind: str


class _MeasurementOnly(Struct, frozen=True):
    measurement: _KindOnly


T = TypeVar("T")

BRACKETS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
"""Strings, to pass them over, and brackets. A string without an end reaches to the end: so this never looks back."""

_NEWER: Final = frozenset({"missing", "asked", "at"})
_encoder = msgspec.json.Encoder()
_envelope = msgspec.json.Decoder(Envelope)
_receipt = msgspec.json.Decoder(Receipt)
_reading = msgspec.json.Decoder(Reading)
_version = msgspec.json.Decoder(_VersionOnly)
_measurement = msgspec.json.Decoder(_MeasurementOnly)


def encode_reading(reading: Reading) -> bytes:
    """The reading as it is kept in the outbox and sent: the same bytes on every retry."""
    return _encoder.encode(reading)


def encode_envelope(gateway_id: str, epoch: str, rows: list[tuple[int, bytes]]) -> bytes:
    """An envelope of `(seq, encoded reading)` rows."""
    assert 1 <= len(rows) <= MAX_READINGS, len(rows)
    readings = tuple(Row(seq=seq, reading=Raw(body)) for seq, body in rows)
    return _encoder.encode(Envelope(gateway_id=gateway_id, epoch=epoch, readings=readings))


def encode_receipt(receipt: Receipt) -> bytes:
    """The receipt as it is sent. What 0.1.0 does not know only where it says something: such a gateway takes no unknown word, and
    asks for no time."""
    said = msgspec.structs.asdict(receipt)
    return _encoder.encode({name: value for name, value in said.items() if value or name not in _NEWER})


def decode_envelope(payload: bytes) -> Envelope:
    """The envelope in `payload`; its rows are still raw (`decode_reading`).

    Raises `MalformedError` with reason `decode:size`, `decode:utf8`, `decode:json`, `decode:duplicate_key`, `decode:schema`, or
    `schema_newer` for a version that this build does not know yet.
    """
    if len(payload) > MAX_BYTES_TAKEN:
        raise MalformedError("decode:size", f"{len(payload)} bytes, at most {MAX_BYTES_TAKEN} are taken")
    _check_text(payload)
    _check_version(payload)
    return _decode(_envelope, payload)


def decode_reading(row: Row) -> Reading:
    """The reading in `row`; raises `MalformedError` (`decode:schema`) for one that does not fit, and (`kind_newer`) for one of a
    kind that this build does not know yet."""
    return decode_stored_reading(bytes(row.reading))


def decode_stored_reading(body: bytes) -> Reading:
    """The reading that `encode_reading` wrote; raises `MalformedError` for anything else, as `decode_reading` does."""
    try:
        return _decode(_reading, body)
    except MalformedError as e:
        kind = _kind_in(body)
        if kind is None or kind in KINDS:
            raise
        raise MalformedError(
            "kind_newer", f"a measurement of kind {kind[:64]!r}, which this build does not know", kind
        ) from e


def decode_receipt(payload: bytes) -> Receipt:
    """The receipt in `payload`; raises `MalformedError` for the reasons of `decode_envelope`."""
    if len(payload) > MAX_BYTES_TAKEN:
        raise MalformedError("decode:size", f"{len(payload)} bytes, at most {MAX_BYTES_TAKEN} are taken")
    _check_text(payload)
    _check_version(payload)
    return _decode(_receipt, payload)


def _kind_in(body: bytes) -> str | None:
    """What a reading that does not fit says of its kind, if anything."""
    try:
        return _decode(_measurement, body).measurement.kind
    except MalformedError:
        return None


def _check_version(payload: bytes) -> None:
    version = _decode(_version, payload).v
    if version != VERSION:
        reason = "schema_newer" if version > VERSION else "schema_older"
        raise MalformedError(reason, f"wire version {version}, this build reads {VERSION}", version)


def _check_text(payload: bytes) -> None:
    """Refuse what a lenient reader would let through: bad UTF-8, NaN, and a key said twice (which msgspec lets pass)."""
    try:
        text = payload.decode("utf-8", "strict")
    except UnicodeDecodeError as e:
        raise MalformedError("decode:utf8", str(e)) from e
    if deeper_than(MAX_DEPTH, text):
        raise MalformedError("decode:json", f"nested deeper than {MAX_DEPTH} levels")
    try:
        json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except MalformedError:
        raise
    except (ValueError, RecursionError) as e:
        raise MalformedError("decode:json", str(e)[:200]) from e


def deeper_than(limit: int, text: str) -> bool:
    """Whether the brackets outside strings ever nest deeper than `limit`."""
    depth = 0
    for found in BRACKETS.finditer(text):
        depth += (found[0] in "[{") - (found[0] in "]}")
        if depth > limit:
            return True
    return False


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("decode:duplicate_key", "an object says a key twice", [key for key, _ in pairs])
    return found


def _no_constant(word: str) -> NoReturn:
    raise MalformedError("decode:json", f"{word} is not JSON")


def _decode(decoder: "msgspec.json.Decoder[T]", payload: bytes) -> T:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as e:
        raise MalformedError("decode:schema", str(e)[:200]) from e
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise MalformedError("decode:json", str(e)[:200]) from e
