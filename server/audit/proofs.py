"""The arithmetic of the audit trail: one spelling of a row, digests, links, seals, Merkle trees. Standard library only.

It is copied word for word into every evidence export, where it runs without HomeVigil, so it imports nothing of ours and every
formula stands here and nowhere else. `docs/explanation/record.md` says the same in words.
"""

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any, Protocol
from uuid import UUID

NOTHING = bytes(32)
"""In place of the hash before the first."""

PART = 64
"""Bytes that a link keeps for each of its readings: the digest of the reading, and that of its frames."""


def canonical(value: object) -> str:
    """The one spelling of a value in JSON.

    No spaces; members sorted by code point; text escaped only where JSON demands it; numbers in plain decimal digits, as many
    as there are, never with an exponent; instants in UTC with six digits; bytes in hexadecimal. Raises `TypeError` for others.
    """
    spell = _SPELLINGS.get(type(value))
    if spell is None:
        raise TypeError(f"{type(value).__name__} has no canonical spelling")
    return spell(value)


def spell_instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise TypeError("an instant without a zone is none")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat("T", "microseconds") + "Z"


def _number(value: float | Decimal) -> str:
    text = repr(value) if isinstance(value, float) else str(value)
    if text.lstrip("-").replace(".", "", 1).isdigit():
        return text
    exact = Decimal(text)
    return format(exact, "f") if exact.is_finite() else f'{{"number":"{exact}"}}'


def _object(value: Mapping[str, Any]) -> str:
    return "{" + ",".join([f"{encode_basestring(name)}:{canonical(value[name])}" for name in sorted(value)]) + "}"


def _array(value: Sequence[Any]) -> str:
    return "[" + ",".join([canonical(each) for each in value]) + "]"


_SPELLINGS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _number,
    Decimal: _number,
    dict: _object,
    list: _array,
    tuple: _array,
    datetime: lambda value: f'"{spell_instant(value)}"',
    date: lambda value: f'"{value}"',
    UUID: lambda value: f'"{value}"',
    bytes: lambda value: f'"{value.hex()}"',
}


def spell_row(ledger: str, row: Mapping[str, Any] | None, columns: Iterable[str]) -> bytes:
    """A row with those of its columns that were there when it was sealed; what is null is left out. `None`: there is no row."""
    shown = None if row is None else {name: row[name] for name in columns if row.get(name) is not None}
    return canonical({"ledger": ledger, "row": shown}).encode()


def digest_row(spelled: bytes, key: bytes | None) -> bytes:
    """SHA-256; under a patient's own key, HMAC-SHA-256."""
    return sha256(spelled).digest() if key is None else hmac.digest(key, spelled, "sha256")


def digest_readings(members: Sequence[str], parts: bytes) -> bytes:
    """Of the readings of one link: SHA-256 over each one's name and digests."""
    each = [[member, parts[at * PART : (at + 1) * PART].hex()] for at, member in enumerate(members)]
    return sha256(canonical(each).encode()).digest()


class Linked(Protocol):
    """What a link says, wherever it is kept."""

    @property
    def seq(self) -> int: ...
    @property
    def ledger(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def patient_id(self) -> int | None: ...
    @property
    def of_patient(self) -> int | None: ...
    @property
    def shape(self) -> int: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def hash(self) -> bytes: ...


def hash_link(previous: bytes, link: Linked, *, seq: int | None = None) -> bytes:
    """SHA-256 of the hash before (32 bytes) and of the link in canonical JSON."""
    said = (
        f'{{"digest":"{link.digest.hex()}","key":{encode_basestring(link.key)},"ledger":"{link.ledger}"'
        f',"of_patient":{canonical(link.of_patient)},"patient":{canonical(link.patient_id)}'
        f',"seq":{link.seq if seq is None else seq},"shape":{link.shape}}}'
    )
    return sha256(previous + said.encode()).digest()


class SealSaid(Protocol):
    """What a seal says, wherever it is kept."""

    @property
    def seal(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def first_seq(self) -> int: ...
    @property
    def last_seq(self) -> int: ...
    @property
    def root(self) -> bytes: ...
    @property
    def head(self) -> bytes: ...


def hash_seal(previous: bytes, seal: SealSaid) -> bytes:
    """SHA-256 of the seal's hash before (32 bytes) and of the seal in canonical JSON."""
    names = ("seal", "at", "first_seq", "last_seq", "root", "head")
    return sha256(previous + canonical({name: getattr(seal, name) for name in names}).encode()).digest()


def hash_leaf(value: bytes) -> bytes:
    return sha256(b"\0" + value).digest()


def hash_pair(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def merkle_root(values: Sequence[bytes]) -> bytes:
    """The root of a Merkle tree as in RFC 9162, 2.1.1: leaves and nodes are told apart, and the left half is a power of two."""
    assert values, "a tree has a leaf"
    level = [hash_leaf(each) for each in values]
    while len(level) > 1:  # pairing from the left and carrying the odd one up makes the same tree
        paired = [hash_pair(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
    return level[0]


def merkle_path(values: Sequence[bytes], place: int) -> list[str]:
    """What is needed besides a leaf to come to the root, from the bottom up: its side (`L`, `R`) and its hash."""
    level, path = [hash_leaf(each) for each in values], []
    while len(level) > 1:
        beside = place ^ 1
        if beside < len(level):
            path.append(("L" if beside < place else "R") + level[beside].hex())
        paired = [hash_pair(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level, place = paired + level[len(level) & ~1 :], place // 2
    return path


def root_by_path(value: bytes, path: Iterable[str]) -> bytes:
    """The root to which a leaf's path leads."""
    node = hash_leaf(value)
    for step in path:
        beside = bytes.fromhex(step[1:])
        node = hash_pair(beside, node) if step[0] == "L" else hash_pair(node, beside)
    return node


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was sealed. `kind`: changed, deleted, inserted, swapped, cut, rewritten, or unproved."""

    kind: str
    says: str
    seq: int | None = None
    ledger: str = ""
    key: str = ""


class ChainCheck:
    """Follows links in order, and says at which of them the chain does not hold, and what was done there.

    One break is told once: after it the stored hash is taken for what it was. Numbers that were closed up over a deleted link, or
    moved on for an inserted one, are followed by `shift` (how far the stored number is ahead of the one that was sealed).
    """

    def __init__(self, seq: int = 0, previous: bytes = NOTHING) -> None:
        self.findings: list[Finding] = []
        self._seq, self._previous, self._before = seq, previous, NOTHING
        self._shift = 0
        self._doubt: Linked | None = None
        self._doubts: dict[int, tuple[bytes, Linked]] = {}

    def follow(self, link: Linked) -> None:
        """The next link that is there."""
        expected, self._seq = self._seq + 1, link.seq
        if link.seq != expected:
            self._settle()
            self._find("deleted", f"links {expected} to {link.seq - 1} are missing", seq=expected)
        elif self._fits(link, self._shift):
            self._settle()
        elif self._doubt is not None and self._fits(link, self._shift - 1):
            self._find(
                "deleted",
                f"before link {self._doubt.seq} one was taken out, and the numbers closed up",
                self._doubt.seq,
            )
            self._doubt, self._shift = None, self._shift - 1
        elif hash_link(self._before, link, seq=link.seq - self._shift - 1) == link.hash:
            self._doubt = None
            self._find("inserted", f"link {link.seq - 1} was put in, and the numbers moved on", link.seq - 1)
            self._shift += 1
        elif self._doubt is None:
            self._doubt = link
            self._doubts[link.seq] = (self._previous, link)
        self._before, self._previous = self._previous, link.hash

    def end(self, last_seq: int | None = None) -> list[Finding]:
        """All that was found. `last_seq`: up to which link there should be some."""
        self._settle()
        if last_seq is not None and last_seq > self._seq:
            self._find(
                "cut", f"links {self._seq + 1} to {last_seq} are missing: the end was cut off", seq=self._seq + 1
            )
        self.findings = name_swapped(self.findings, self._is_swapped)
        return self.findings

    def _fits(self, link: Linked, shift: int) -> bool:
        return hash_link(self._previous, link, seq=link.seq - shift) == link.hash

    def _settle(self) -> None:
        if self._doubt is not None:
            doubt, self._doubt = self._doubt, None
            self._find("changed", f"link {doubt.seq} is not what was sealed", doubt.seq, doubt.ledger, doubt.key)

    def _find(self, kind: str, says: str, seq: int, ledger: str = "", key: str = "") -> None:
        self.findings.append(Finding(kind, says, seq, ledger, key))

    def _is_swapped(self, one: Finding, other: Finding) -> bool:
        if one.seq not in self._doubts or other.seq not in self._doubts:
            return False
        previous, link = self._doubts[one.seq]
        its = self._doubts[other.seq][1]
        return hash_link(previous, its, seq=link.seq - self._shift) in (link.hash, its.hash)


def name_swapped(findings: Sequence[Finding], is_swapped: Callable[[Finding, Finding], bool]) -> list[Finding]:
    """The findings, with pairs of changed ones that hold each other's content called swapped. Only so many are compared."""
    told = list(findings)
    changed = [at for at, each in enumerate(told) if each.kind == "changed"][:100]
    for place, at in enumerate(changed):
        for beside in changed[place + 1 :]:
            one, other = told[at], told[beside]
            if one.kind == other.kind == "changed" and is_swapped(one, other):
                told[at] = replace(one, kind="swapped", says=f"{one.says}: it was swapped with link {other.seq}")
                told[beside] = replace(other, kind="swapped", says=f"{other.says}: it was swapped with link {one.seq}")
    return told
