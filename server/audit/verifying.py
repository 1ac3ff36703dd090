"""Looks whether everything is as it was sealed: rows against links, links against seals, seals against what was anchored outside.

It reads one instant of the database and writes nothing. What an insider can do who may write every table, and what shows it, is
in `docs/explanation/record.md`: a chain alone shows no end that was cut off and no chain that was written anew; anchors do.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final

from server.audit.notaries import Notary
from server.audit.proofs import (
    NOTHING,
    PART,
    ChainCheck,
    Finding,
    digest_readings,
    digest_row,
    hash_seal,
    merkle_root,
    name_swapped,
    spell_row,
)
from server.audit.sealing import part_of
from server.store import audit_chain as store
from server.store.audit_chain import READINGS, Anchor, Ledger, Link, Receipt, Row, Seal
from server.store.postgres import Connection

CHUNK: Final = 5000
NAMED: Final = 100
"""Rows without a link that are named; there may be a table full of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was looked at, and what is not as it was sealed: nothing, or somebody has changed what was written down.

    `erased`: rows of patients who were forgotten, and of which nothing can be said any more. `waiting`: not sealed yet.
    `anchored_seq`: up to which link somebody outside knows the chain.
    """

    links: int
    rows: int
    seals: int
    anchors: int
    erased: int
    waiting: int
    anchored_seq: int
    findings: Sequence[Finding]

    @property
    def is_whole(self) -> bool:
        return not self.findings


def verify(
    conn: Connection,
    *,
    since: datetime | None = None,
    outside: Sequence[str] = (),
    notaries: Sequence[Notary] = (),
) -> Verified:
    """Look at all that was sealed, or at what was sealed from `since` on. `outside`: statements of anchors as others keep them;
    `notaries` look at their own receipts.

    To be called first in its transaction. Rows that were written past the product are looked for only without `since`.
    """
    store.look_at_one_instant(conn)
    return look(conn, since=since, outside=outside, notaries=notaries)


def look(
    conn: Connection, *, since: datetime | None, outside: Sequence[str], notaries: Sequence[Notary] = ()
) -> Verified:
    """As `verify`, at what this transaction sees."""
    before = store.seal_before(conn, since) if since is not None else None
    rows, seals = _Rows(conn), _Seals(conn, before)
    chain = ChainCheck(before.last_seq, before.head) if before else ChainCheck()
    links, last_seq = 0, before.last_seq if before else 0
    while chunk := store.list_links(conn, after=last_seq, limit=CHUNK):
        for link in chunk:
            chain.follow(link)
            seals.follow(link)
        rows.look(chunk)
        links, last_seq = links + len(chunk), chunk[-1].seq
    findings = [*chain.end(), *seals.end(last_seq), *rows.end()]
    if since is None:
        findings += _unlinked(conn, rows.ledgers)
    anchors = _Anchors(conn, before, last_seq, {each.name: each for each in notaries})
    findings += anchors.look(outside)
    return Verified(
        links=links,
        rows=rows.looked_at,
        seals=seals.looked_at,
        anchors=anchors.looked_at,
        erased=rows.erased,
        waiting=len(rows.waiting),
        anchored_seq=anchors.last_seq,
        findings=findings,
    )


def _unlinked(conn: Connection, ledgers: Mapping[str, Ledger]) -> Iterator[Finding]:
    for name, ledger in ledgers.items():
        for key in store.unlinked(conn, ledger, limit=NAMED):
            yield Finding(
                "inserted", f"{name} {key} was never sealed: it was written past the product", ledger=name, key=key
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Suspect:
    """A row that is not what its link says; `key_of` is the patient's, `row` what is there now."""

    link: Link
    key: str
    row: Row | None
    columns: tuple[str, ...]
    secret: bytes | None


@dataclass(slots=True)
class _Rows:
    """The rows of links, as they are now. Of a row that goes on, the newest link counts."""

    conn: Connection
    looked_at: int = 0
    erased: int = 0
    ledgers: dict[str, Ledger] = field(init=False)
    waiting: set[tuple[str, str]] = field(init=False)
    _shapes: dict[int, tuple[str, tuple[str, ...]]] = field(init=False)
    _secrets: dict[int, bytes | None] = field(init=False)
    _suspects: dict[tuple[str, str], _Suspect] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledgers, self.waiting = store.list_ledgers(self.conn), store.waiting(self.conn)
        self._shapes, self._secrets = store.list_shapes(self.conn), store.list_keys(self.conn)

    def look(self, links: Sequence[Link]) -> None:
        told = [link for link in links if not self._is_erased(link)]
        self.erased += len(links) - len(told)
        for name in sorted({link.ledger for link in told}):
            theirs = [link for link in told if link.ledger == name]
            if name == READINGS:
                self._look_at_readings(theirs)
            else:
                self._look_at_rows(self.ledgers[name], theirs)

    def end(self) -> list[Finding]:
        """What was changed or deleted. A row that goes on and waits to be sealed anew is not looked at."""
        left = [
            each
            for (name, key), each in self._suspects.items()
            if not (self.ledgers[name].is_mutable and (name, key) in self.waiting)
        ]
        findings = [_suspicion(each) for each in left]
        by_finding = dict(zip(findings, left, strict=True))
        return name_swapped(findings, lambda one, other: self._is_swapped(by_finding[one], by_finding[other]))

    def _is_erased(self, link: Link) -> bool:
        if link.patient_id is None or not self.ledgers[link.ledger].is_keyed:
            return False
        return self._secrets.get(link.patient_id) is None

    def _secret(self, link: Link) -> bytes | None:
        keyed = self.ledgers[link.ledger].is_keyed and link.patient_id is not None
        return self._secrets[link.patient_id] if keyed and link.patient_id is not None else None

    def _columns(self, link: Link) -> tuple[str, ...]:
        return self._shapes.get(link.shape, (link.ledger, ()))[1]

    def _look_at_rows(self, ledger: Ledger, links: Sequence[Link]) -> None:
        rows = store.fetch_rows(self.conn, ledger, {link.key for link in links})
        for link in links:
            row, columns, secret = rows.get(link.key), self._columns(link), self._secret(link)
            fits = digest_row(spell_row(ledger.ledger, row, columns), secret) == link.digest
            self._note(fits, _Suspect(link=link, key=link.key, row=row, columns=columns, secret=secret))
        self.looked_at += len(links)

    def _look_at_readings(self, links: Sequence[Link]) -> None:
        wanted = [
            (link.patient_id, each) for link in links if link.patient_id is not None for each in link.members or ()
        ]
        found = store.fetch_readings(self.conn, wanted)
        for link in links:
            members, parts = link.members or [], link.parts or b""
            secret, columns = self._secret(link), self._columns(link)
            assert secret is not None, "the erased were left out"
            if digest_readings(members, parts) != link.digest:
                self._note(False, _Suspect(link=link, key=" ".join(members), row={}, columns=columns, secret=secret))
            for at, member in enumerate(members):
                reading, raw = found[member]
                fits = part_of(reading, raw, columns, secret) == parts[at * PART : (at + 1) * PART]
                row = None if reading is None or (raw is None and _has_raw(columns) and not fits) else reading
                self._note(fits, _Suspect(link=link, key=member, row=row, columns=columns, secret=secret))
            self.looked_at += len(members)

    def _note(self, fits: bool, suspect: _Suspect) -> None:
        name = suspect.link.ledger, suspect.key
        if not fits:
            self._suspects.setdefault(name, suspect) if not self._goes_on(name[0]) else self._suspects.update(
                {name: suspect}
            )
        elif self._goes_on(name[0]):
            self._suspects.pop(name, None)

    def _goes_on(self, ledger: str) -> bool:
        return self.ledgers[ledger].is_mutable

    def _is_swapped(self, one: _Suspect, other: _Suspect) -> bool:
        """Whether each holds what the other held."""
        if one.link.ledger != other.link.ledger or one.link.ledger == READINGS or not (one.row and other.row):
            return False
        names = self.ledgers[one.link.ledger].key_columns
        moved = {**other.row, **{name: one.row[name] for name in names}}
        return digest_row(spell_row(one.link.ledger, moved, one.columns), one.secret) == one.link.digest


def _has_raw(columns: Sequence[str]) -> bool:
    return any(name.startswith(store.RAW) for name in columns)


def _suspicion(suspect: _Suspect) -> Finding:
    link, key = suspect.link, suspect.key
    if suspect.row is None:
        return Finding("deleted", f"{link.ledger} {key} is gone", link.seq, link.ledger, key)
    return Finding("changed", f"{link.ledger} {key} is not what was sealed", link.seq, link.ledger, key)


class _Seals:
    """Follows links and compares them, seal by seal, with the roots that were made of them."""

    def __init__(self, conn: Connection, before: Seal | None) -> None:
        self.looked_at = 0
        self._seals = _all_seals(conn, before.seal + 1 if before else 1)
        self._seal, self._hash = before.seal if before else 0, before.hash if before else NOTHING
        self._last_seq = before.last_seq if before else 0
        self._findings: list[Finding] = []
        self._hashes: list[bytes] = []
        self._open: Seal | None = None
        self._next()

    def follow(self, link: Link) -> None:
        while self._open is not None and link.seq > self._open.last_seq:
            self._close()
        self._hashes.append(link.hash)

    def end(self, last_seq: int) -> list[Finding]:
        """What is wrong with the seals, the chain having ended at `last_seq`."""
        while self._open is not None:
            self._close()
        if self._last_seq > last_seq:
            says = f"the last seal holds links up to {self._last_seq}, and there are {last_seq}: the end was cut off"
            self._findings.append(Finding("cut", says, seq=last_seq + 1))
        elif self._last_seq < last_seq:
            says = f"links {self._last_seq + 1} to {last_seq} are in no seal"
            self._findings.append(Finding("inserted", says, seq=self._last_seq + 1))
        return self._findings

    def _close(self) -> None:
        seal, hashes = self._open, self._hashes
        assert seal is not None
        self._hashes = []
        self.looked_at += 1
        why = self._why(seal, hashes)
        if why is not None:
            kind = "deleted" if why.endswith("missing") else "changed"
            self._findings.append(Finding(kind, f"seal {seal.seal}: {why}", seq=seal.first_seq, ledger="audit_seal"))
        self._seal, self._hash, self._last_seq = seal.seal, seal.hash, seal.last_seq
        self._next()

    def _why(self, seal: Seal, hashes: Sequence[bytes]) -> str | None:
        if seal.seal != self._seal + 1:
            return f"seals {self._seal + 1} to {seal.seal - 1} are missing"
        if hash_seal(self._hash, seal) != seal.hash:
            return "it is not what was written"
        if seal.first_seq != self._last_seq + 1 or len(hashes) != seal.last_seq - seal.first_seq + 1:
            return f"it holds links {seal.first_seq} to {seal.last_seq}, and they are not all there"
        if merkle_root(hashes) != seal.root or hashes[-1] != seal.head:
            return f"links {seal.first_seq} to {seal.last_seq} are not those that it was made of"
        return None

    def _next(self) -> None:
        self._open = next(self._seals, None)


def _all_seals(conn: Connection, first_seal: int, last_seal: int | None = None) -> Iterator[Seal]:
    while chunk := store.list_seals(conn, first_seal=first_seal, last_seal=last_seal, limit=CHUNK):
        yield from chunk
        first_seal = chunk[-1].seal + 1


class _Anchors:
    """The anchors, ours and as others keep them, against the seals."""

    def __init__(self, conn: Connection, before: Seal | None, last_seq: int, notaries: Mapping[str, Notary]) -> None:
        self.looked_at, self.last_seq = 0, 0
        self._notaries = notaries
        self._conn, self._first_seal, self._chain_ends = conn, before.seal + 1 if before else 1, last_seq
        self._ours = {each.anchor: each for each in store.list_anchors(conn)}
        self._receipts: dict[int, list[Receipt]] = {}
        for each in store.list_receipts(conn):
            self._receipts.setdefault(each.anchor, []).append(each)

    def look(self, outside: Sequence[str]) -> Iterator[Finding]:
        yield from self._look_at_ours()
        for statement in outside:
            yield from self._compare(statement)

    def _look_at_ours(self) -> Iterator[Finding]:
        previous = ""
        for place, anchor in enumerate(self._ours.values(), start=1):
            if anchor.last_seal >= self._first_seal:
                self.looked_at += 1
                yield from self._look_at(anchor, previous, place)
            previous = anchor.digest.hex()

    def _look_at(self, anchor: Anchor, previous: str, place: int) -> Iterator[Finding]:
        said = json.loads(anchor.statement)
        if (
            sha256(anchor.statement.encode()).digest() != anchor.digest
            or said["previous"] != previous
            or anchor.anchor != place
        ):
            yield Finding(
                "changed",
                f"anchor {anchor.anchor} is not what was written",
                ledger="audit_anchor",
                key=str(anchor.anchor),
            )
        for each in self._receipts.get(anchor.anchor, ()):
            notary = self._notaries.get(each.notary)
            why = notary.objection(anchor, each.receipt) if notary is not None else None
            if why is not None:
                says = f"anchor {anchor.anchor}: the receipt of {each.notary} does not prove it: {why}"
                yield Finding("unproved", says, ledger="audit_receipt", key=str(anchor.anchor))
        yield from self._hold_to(said, f"anchor {anchor.anchor} of {said['at']}")

    def _hold_to(self, said: Mapping[str, object], name: str) -> Iterator[Finding]:
        """Whether the chain is the one of which this was said."""
        last_seq = int(str(said["last_seq"]))
        if last_seq > self._chain_ends:
            says = f"{name} says that there are {last_seq} links, and there are {self._chain_ends}: the end was cut off"
            yield Finding("cut", says, seq=self._chain_ends + 1)
            return
        span = int(str(said["first_seal"])), int(str(said["last_seal"]))
        seals = list(_all_seals(self._conn, *span))
        is_same = bool(seals) and merkle_root([each.hash for each in seals]).hex() == said["root"]
        if not is_same or seals[-1].head.hex() != said["head"]:
            says = f"what was sealed up to link {last_seq} is not what {name} says: it was written anew"
            yield Finding("rewritten", says, seq=seals[0].first_seq if seals else None)
        elif int(str(said["anchor"])) in self._receipts:
            self.last_seq = max(self.last_seq, last_seq)

    def _compare(self, statement: str) -> Iterator[Finding]:
        """What somebody outside keeps. It counts, whatever ours says by now."""
        said = json.loads(statement)
        ours = self._ours.get(int(said["anchor"]))
        if ours is not None and ours.statement == statement:
            return
        name = f"anchor {said['anchor']} of {said['at']}, as it is kept outside,"
        is_ours = "ours is another" if ours is not None else "ours is missing"
        yield Finding(
            "rewritten", f"{name} is not in our book: {is_ours}", ledger="audit_anchor", key=str(said["anchor"])
        )
        yield from self._hold_to(said, name)
