"""Whoever may write every table of the database changes what was written down: it is found, and named, 600 times of 600.

The insider of these tests is the owner of the tables, switches the triggers off, knows the formulas and reads every key. What the
insider does not have is what was anchored outside.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest

from homevigil.embedded.postgres import EmbeddedPostgres
from server.audit.anchoring import make_anchor, show
from server.audit.notaries import FileNotary, statements_in
from server.audit.proofs import NOTHING, digest_row, hash_link, hash_seal, merkle_root, spell_row
from server.audit.sealing import seal, seal_all
from server.audit.verifying import Verified, look
from server.store import audit, audit_chain, enrolment
from server.store.audit_chain import Link, Seal
from server.store.postgres import Connection, Pool, open_pool, transaction

NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
ENTRIES = 64
TRIALS = 100


@dataclass(frozen=True)
class House:
    """A database with a chain, and the anchors of it that lie outside."""

    pool: Pool
    outside: tuple[str, ...]


@pytest.fixture(scope="module")
def house(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("outside")
    url = postgres.create_database("tampering", template=migrated_template)
    with open_pool(url) as pool:
        seal_all(pool)
        for number in range(ENTRIES):
            _write(pool, number)
            seal_all(pool)
            if number % 8 == 7:
                with transaction(pool) as conn:
                    make_anchor(conn, now=NOW + timedelta(minutes=number))
                show(pool, [FileNotary(folder)])
        yield House(pool=pool, outside=tuple(statements_in(folder)))
    postgres.drop_database("tampering")


def _write(pool: Pool, number: int) -> None:
    """A deed, and beside it a row of another ledger, of one of four patients."""
    patient_id, at = 1 + number % 4, NOW + timedelta(minutes=number)
    reading_id = uuid5(NAMESPACE_OID, f"tampering {number}")
    with transaction(pool) as conn:
        if number < 4:
            enrolment.add_patient(
                conn, name="Somebody", language="zh", enrolled_on=NOW.date(), zone="UTC", doctor_id=None, now=NOW
            )
        audit.note(
            conn, actor=f"user:{number % 3}", act="record.read", at=at, patient_id=patient_id, detail={"n": number}
        )
        conn.execute(
            b"insert into symptom_answer (patient_id, answered_at, symptoms) values (%s, %s, %s)",
            (patient_id, at, ["chest_pain"] if number % 2 else []),
        )
        conn.execute(b"select reading_make_room(%s)", (at,))
        conn.execute(
            b"insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, systolic_mmhg, quality,"
            b" time_quality, zone, received_at, decoder) values (%s, 'blood_pressure', %s, %s, 'gw', 'm', %s, 'accepted',"
            b" 'synced', 'UTC', %s, 'test')",
            (patient_id, at, reading_id, 120.0 + number, at),
        )
        conn.execute(
            b"insert into reading_raw (reading_id, raw, sent) values (%s, %s, '')", (reading_id, bytes([number, 1, 2]))
        )
        conn.execute(
            b"insert into audit_due (ledger, key, patient_id, members)"
            b" values ('reading', '', %s, array[audit_member('blood_pressure', %s, %s)])",
            (patient_id, at, reading_id),
        )


class Insider:
    """What can be done to the tables from inside, by somebody who knows how they are made."""

    def __init__(self, conn: Connection, dice: random.Random) -> None:
        self.conn, self.dice = conn, dice
        conn.execute(b"set local session_replication_role = replica")
        self.links = list(audit_chain.list_links(conn, after=0, limit=10_000))

    def run(self, statement: str, *values: Any) -> list[Any]:
        cursor = self.conn.execute(statement.encode(), values)
        return list(cursor.fetchall()) if cursor.description else []

    def a_link(self, ledger: str | None = None) -> Link:
        """One that somebody outside knows of, and that is not the first."""
        return self.dice.choice([each for each in self.links[5:-15] if ledger in (None, each.ledger)])

    def digest_of(self, ledger: str, key: str, patient_id: int | None) -> bytes:
        """The digest that the row as it is now would have."""
        table = audit_chain.list_ledgers(self.conn)[ledger]
        row = audit_chain.fetch_rows(self.conn, table, [key]).get(key)
        secret = audit_chain.list_keys(self.conn)[patient_id] if table.is_keyed and patient_id else None
        return digest_row(spell_row(ledger, row, table.columns), secret)

    def put(self, link: Link) -> None:
        self.run("update audit_link set digest = %s, hash = %s where seq = %s", link.digest, link.hash, link.seq)

    def write_anew(self, since: int) -> None:
        """All links from one on, all seals and all our anchors, as they should have been."""
        links = list(audit_chain.list_links(self.conn, after=0, limit=10_000))
        previous, hashes = NOTHING, []
        for link in links:
            hashes.append(previous := hash_link(previous, link))
        self.run(
            "update audit_link l set hash = w.hash from unnest(%s::bigint[], %s::bytea[]) as w (seq, hash)"
            " where l.seq = w.seq and l.seq >= %s",
            *([link.seq for link in links], hashes, since),
        )
        before, renewed = NOTHING, []
        for old in audit_chain.list_seals(self.conn):
            held = hashes[old.first_seq - 1 : old.last_seq]
            new = replace(old, root=merkle_root(held), head=held[-1])
            new = replace(new, hash=(before := hash_seal(before, new)))
            renewed.append(new)
        anchors = audit_chain.list_anchors(self.conn)
        for table in ("audit_receipt", "audit_anchor", "audit_seal"):
            self.run(f"delete from {table}")
        for each in anchors:
            self._add_seals([new for new in renewed if each.first_seal <= new.seal <= each.last_seal])
            make_anchor(self.conn, now=each.at)
        self._add_seals(renewed[anchors[-1].last_seal :])

    def _add_seals(self, seals: Sequence[Seal]) -> None:
        for each in seals:
            audit_chain.add_seal(self.conn, each)


def edit(insider: Insider) -> None:
    match insider.dice.randrange(6):
        case 0:
            key = int(insider.a_link("audit_entry").key)
            column, value = insider.dice.choice(
                [
                    ("actor", "user:9"),
                    ("act", "record.list"),
                    ("subject", "x"),
                    ("detail", '{"n": 1.0}'),
                    ("at", "2026-01-01Z"),
                ]
            )
            insider.run(f"update audit_entry set {column} = %s where entry_id = %s", value, key)
        case 1:
            key = int(insider.a_link("symptom_answer").key)
            insider.run("update symptom_answer set symptoms = array['back_pain'] where answer_id = %s", key)
        case 2:
            (member,) = insider.a_link("reading").members or []
            insider.run("update reading set systolic_mmhg = 119.5 where reading_id = %s", member.split("/")[-1])
        case 3:
            (member,) = insider.a_link("reading").members or []
            insider.run("update reading_raw set raw = 'x' where reading_id = %s", member.split("/")[-1])
        case 4:
            link = insider.a_link("audit_entry")
            insider.run("update audit_entry set actor = 'user:9' where entry_id = %s", int(link.key))
            insider.put(replace(link, digest=insider.digest_of("audit_entry", link.key, link.patient_id)))
        case 5:
            link = insider.a_link("symptom_answer")
            insider.run(
                "update symptom_answer set symptoms = '{}', said_by = null, answered_at = now() where answer_id = %s",
                int(link.key),
            )
            forged = replace(link, digest=insider.digest_of("symptom_answer", link.key, link.patient_id))
            insider.put(replace(forged, hash=hash_link(insider.links[link.seq - 2].hash, forged)))


def delete(insider: Insider) -> None:
    link = insider.a_link()
    table, column = {
        "audit_entry": ("audit_entry", "entry_id"),
        "symptom_answer": ("symptom_answer", "answer_id"),
        "reading": ("reading", "reading_id"),
    }.get(link.ledger, (link.ledger, None))
    kind = insider.dice.randrange(3)
    if column is not None:
        key = link.members[0].split("/")[-1] if link.members else link.key
        insider.run(f"delete from {table} where {column}::text = %s", key)
    if kind >= 1 or column is None:
        insider.run("delete from audit_link where seq = %s", link.seq)
    if kind == 2:
        _move(insider, link.seq, -1)


def insert(insider: Insider) -> None:
    link = insider.a_link("audit_entry")
    (entry_id,) = insider.run(
        "insert into audit_entry (at, actor, act, patient_id) values (%s, 'user:9', 'record.read', 1) returning entry_id",
        NOW,
    )[0]
    kind = insider.dice.randrange(3)
    if kind == 0:
        return
    made = Link(
        seq=insider.links[-1].seq + 1 if kind == 1 else link.seq,
        ledger="audit_entry",
        key=str(entry_id),
        patient_id=None,
        of_patient=None,
        shape=link.shape,
        digest=insider.digest_of("audit_entry", str(entry_id), None),
        hash=NOTHING,
        members=None,
        parts=None,
    )
    before = insider.links[made.seq - 2].hash
    if kind == 2:
        _move(insider, link.seq - 1, 1)
    audit_chain.add_links(insider.conn, [replace(made, hash=hash_link(before, made))])


def _move(insider: Insider, after: int, by: int) -> None:
    """Close the numbers up, or make room for one more; by way of numbers that are free."""
    insider.run("update audit_link set seq = seq + 1000000 where seq > %s", after)
    insider.run("update audit_link set seq = seq - 1000000 + %s where seq > 1000000", by)


def swap(insider: Insider) -> None:
    ledger = insider.dice.choice(["audit_entry", "symptom_answer"])
    one, other = insider.a_link(ledger), insider.a_link(ledger)
    while other.key == one.key or abs(other.seq - one.seq) < 2:
        other = insider.a_link(ledger)
    match insider.dice.randrange(3):
        case 0:
            column, names = {
                "audit_entry": ("entry_id", "at, actor, act, patient_id, subject, detail"),
                "symptom_answer": ("answer_id", "patient_id, answered_at, symptoms, said_by"),
            }[ledger]
            insider.run(
                f"update {ledger} t set ({names}) = (select {names} from {ledger} s where s.{column} = %s + %s - t.{column})"
                f" where t.{column} in (%s, %s)",
                *(int(one.key), int(other.key)) * 2,
            )
        case 1:
            for seq, its in ((one.seq, other), (other.seq, one)):
                insider.run(
                    "update audit_link set key = %s, patient_id = null, of_patient = null, digest = %s where seq = %s",
                    *(its.key, its.digest, seq),
                )
            for seq, its in ((one.seq, other), (other.seq, one)):
                insider.run(
                    "update audit_link set patient_id = %s, of_patient = %s where seq = %s",
                    its.patient_id,
                    its.of_patient,
                    seq,
                )
        case 2:
            for old, new in ((one.seq, 1_000_000), (other.seq, one.seq), (1_000_000, other.seq)):
                insider.run("update audit_link set seq = %s where seq = %s", new, old)


def cut(insider: Insider) -> None:
    """The end goes, with its rows, its seals and our anchors: as far back as somebody outside knows of it."""
    anchors = audit_chain.list_anchors(insider.conn)
    seals = audit_chain.list_seals(insider.conn)
    kept = insider.dice.choice(
        [each for each in seals if each.seal < anchors[-1].last_seal and each.seal > anchors[2].last_seal]
    )
    for ledger, column in (("audit_entry", "entry_id"), ("symptom_answer", "answer_id")):
        keys = [int(link.key) for link in insider.links[kept.last_seq :] if link.ledger == ledger]
        insider.run(f"delete from {ledger} where {column} = any(%s)", keys)
    members = [each.split("/")[-1] for link in insider.links[kept.last_seq :] for each in link.members or []]
    insider.run("delete from reading where reading_id::text = any(%s)", members)
    insider.run("delete from audit_link where seq > %s", kept.last_seq)
    insider.run("delete from audit_seal where seal > %s", kept.seal)
    if insider.dice.random() < 0.5:
        insider.run(
            "delete from audit_receipt r using audit_anchor a where a.anchor = r.anchor and a.last_seal > %s", kept.seal
        )
        insider.run("delete from audit_anchor where last_seal > %s", kept.seal)


def rewrite(insider: Insider) -> None:
    """One deed is another's, and everything after it is made to fit."""
    link = insider.a_link("audit_entry")
    insider.run("update audit_entry set actor = 'user:9' where entry_id = %s", int(link.key))
    insider.put(replace(link, digest=insider.digest_of("audit_entry", link.key, link.patient_id)))
    insider.write_anew(link.seq)


def verified(conn: Connection, house: House) -> Verified:
    return look(conn, since=None, outside=house.outside)


def test_what_nobody_has_touched_is_whole(house: House) -> None:
    with transaction(house.pool) as conn:
        found = verified(conn, house)
    assert found.findings == []
    assert found.anchored_seq == found.links > 3 * ENTRIES - 1


@pytest.mark.parametrize(
    ("deed", "named"),
    [
        (edit, {"changed"}),
        (delete, {"deleted"}),
        (insert, {"inserted"}),
        (swap, {"swapped"}),
        (cut, {"cut"}),
        (rewrite, {"rewritten"}),
    ],
)
def test_tampering_is_found_and_named_a_hundred_times_of_a_hundred(
    house: House, deed: Callable[[Insider], None], named: set[str]
) -> None:
    missed, misnamed = [], []
    for trial in range(TRIALS):
        with transaction(house.pool) as conn:
            deed(Insider(conn, random.Random(f"{deed.__name__} {trial}")))
            found = verified(conn, house)
            conn.rollback()
        kinds = {each.kind for each in found.findings}
        if found.is_whole:
            missed.append(trial)
        elif not named & kinds:
            misnamed.append((trial, sorted(kinds), [each.says for each in found.findings][:3]))
    assert missed == []
    assert misnamed == []


def test_an_end_that_nobody_outside_knows_can_be_cut_off_unseen(house: House) -> None:
    """Which is why it is anchored every half hour, and why an hour without is an alarm."""
    with transaction(house.pool) as conn:
        audit.note(conn, actor="user:1", act="record.read", at=NOW)
        assert seal(conn, now=NOW) is not None
        conn.execute(b"set local session_replication_role = replica")
        conn.execute(b"delete from audit_seal where seal = (select max(seal) from audit_seal)")
        conn.execute(b"delete from audit_entry where entry_id = (select max(entry_id) from audit_entry)")
        conn.execute(b"delete from audit_link where seq = (select max(seq) from audit_link)")
        assert verified(conn, house).is_whole
        conn.rollback()
