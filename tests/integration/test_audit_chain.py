"""What was written down is sealed once, whole, in order, and nobody has to wait for it."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from server.audit.anchoring import examine
from server.audit.proofs import NOTHING, hash_link, hash_seal, merkle_root
from server.audit.sealing import seal, seal_all
from server.audit.verifying import verify
from server.store import audit, audit_chain
from server.store.alarms import AlarmKind, open_alarms
from server.store.audit_chain import Link
from server.store.postgres import Pool, transaction

NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)


def note(pool: Pool, n: int = 1, *, patient_id: int | None = None) -> None:
    with transaction(pool) as conn:
        for number in range(n):
            audit.note(conn, actor="user:1", act="record.read", at=NOW, patient_id=patient_id, subject=str(number))


def links_of(pool: Pool) -> list[Link]:
    with transaction(pool) as conn:
        return list(audit_chain.list_links(conn, after=0, limit=100_000))


def entries_sealed(pool: Pool) -> list[str]:
    return [link.key for link in links_of(pool) if link.ledger == "audit_entry"]


def test_each_link_holds_the_one_before_and_each_seal_its_links(pool: Pool) -> None:
    seal_all(pool)
    for _ in range(3):
        note(pool, 5)
        seal_all(pool)
    links, previous = links_of(pool), NOTHING
    for seq, link in enumerate(links, start=1):
        assert link.seq == seq
        assert link.hash == (previous := hash_link(previous, link))
    with transaction(pool) as conn:
        seals, before = audit_chain.list_seals(conn), NOTHING
    assert seals[-1].last_seq == len(links)
    for each in seals:
        held = [link.hash for link in links[each.first_seq - 1 : each.last_seq]]
        assert (each.root, each.head) == (merkle_root(held), held[-1])
        assert each.hash == (before := hash_seal(before, each))


def test_links_of_a_patient_are_counted_without_a_gap(pool: Pool) -> None:
    for patient_id in (7, 8, 7, 7, 8):
        note(pool, patient_id=patient_id)
        seal_all(pool)
    of_patient = {
        patient_id: [x.of_patient for x in links_of(pool) if x.patient_id == patient_id] for patient_id in (7, 8)
    }
    assert of_patient == {7: [1, 2, 3], 8: [1, 2]}


def test_an_entry_that_commits_late_is_sealed_when_it_commits(pool: Pool) -> None:
    with transaction(pool) as late:
        audit.note(late, actor="user:1", act="record.read", at=NOW, subject="written first, committed last")
        note(pool, 3)
        seal_all(pool)
        assert entries_sealed(pool) == ["2", "3", "4"]
    seal_all(pool)
    assert entries_sealed(pool) == ["2", "3", "4", "1"]


def test_what_is_rolled_back_is_not_sealed(pool: Pool) -> None:
    with transaction(pool) as conn:
        audit.note(conn, actor="user:1", act="record.read", at=NOW)
        conn.rollback()
    note(pool)
    seal_all(pool)
    assert len(entries_sealed(pool)) == 1


def test_while_one_seals_another_does_not_wait_and_seals_nothing(pool: Pool) -> None:
    note(pool)
    with transaction(pool) as one:
        assert seal(one, now=NOW) is not None
        with transaction(pool) as other:
            assert seal(other, now=NOW) is None


def test_many_writers_and_two_sealers_make_one_whole_chain(pool: Pool) -> None:
    done = threading.Event()

    def keep_sealing() -> None:
        while not done.is_set():
            seal_all(pool)

    with ThreadPoolExecutor(6) as crowd:
        sealers = [crowd.submit(keep_sealing) for _ in range(2)]
        writers = [crowd.submit(lambda: [note(pool, 3) for _ in range(20)]) for _ in range(4)]
        for each in writers:
            each.result()
        done.set()
        for each in sealers:
            each.result()
    seal_all(pool)
    assert sorted(map(int, entries_sealed(pool))) == list(range(1, 241))
    previous = NOTHING
    for link in links_of(pool):
        assert link.hash == (previous := hash_link(previous, link))


@pytest.mark.parametrize(
    "table", ["audit_entry", "audit_link", "audit_seal", "audit_anchor", "audit_receipt", "audit_shape"]
)
@pytest.mark.parametrize("deed", ["update {} set {} = {}", "delete from {}", "truncate {} cascade"])
def test_nobody_changes_or_deletes_what_was_written(pool: Pool, table: str, deed: str) -> None:
    column = {"audit_entry": "act", "audit_shape": "ledger", "audit_receipt": "notary"}.get(table, "digest")
    column = {"audit_link": "key", "audit_seal": "at", "audit_anchor": "at"}.get(table, column)
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"), transaction(pool) as conn:
        conn.execute(deed.format(table, column, column).encode())


def test_a_sealer_that_is_killed_at_any_time_loses_nothing_and_breaks_no_chain(database_url: str, pool: Pool) -> None:
    program = "import threading, sys; from server.audit.sealing import keep_sealing; from server.store.postgres import open_pool;"
    program += "print('ready', flush=True); keep_sealing(open_pool(sys.argv[1]), threading.Event())"
    for life in range(3):
        note(pool, 300)
        command = [sys.executable, "-c", program, database_url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as sealer:
            assert sealer.stdout is not None
            sealer.stdout.readline()
            for _ in range(life * 40):  # it dies before it has begun, in the middle, and after it has ended
                note(pool)
            sealer.kill()
    written = 3 * 300 + (0 + 40 + 80)
    seal_all(pool)
    assert sorted(map(int, entries_sealed(pool))) == list(range(1, written + 1))
    with transaction(pool) as conn:
        assert verify(conn).findings == []


def test_what_was_changed_past_the_product_is_an_alarm_at_the_next_look(pool: Pool) -> None:
    note(pool, 3)
    seal_all(pool)
    assert examine(pool).is_whole
    with transaction(pool) as conn:
        conn.execute(b"set local session_replication_role = replica")
        conn.execute(b"update audit_entry set actor = 'user:2' where entry_id = 2")
    assert [each.says for each in examine(pool).findings] == ["audit_entry 2 is not what was sealed"]
    with transaction(pool) as conn:
        assert AlarmKind.AUDIT_CHANGED in {alarm.kind for alarm in open_alarms(conn)}


def test_the_command_line_verifies_lists_and_says_what_it_found(database_url: str, pool: Pool) -> None:
    note(pool, 2, patient_id=None)
    sealed = server("audit", "seal", url=database_url)
    assert sealed.stdout.startswith("sealed: ")
    whole = server("audit", "verify", url=database_url)
    assert (whole.returncode, "everything is as it was sealed" in whole.stdout) == (0, True)
    assert "nobody outside knows this chain" in whole.stdout
    listed = json.loads(server("audit", "list", "--act", "record", "--json", url=database_url).stdout)
    assert [(entry["entry_id"], entry["act"]) for entry in listed] == [(2, "record.read"), (1, "record.read")]
    with transaction(pool) as conn:
        conn.execute(b"set local session_replication_role = replica")
        conn.execute(b"delete from audit_entry where entry_id = 1")
    broken = server("audit", "verify", "--json", url=database_url)
    assert broken.returncode == 1
    assert [each["says"] for each in json.loads(broken.stdout)["findings"]] == ["audit_entry 1 is gone"]


def server(*words: str, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homevigil", "server", *words]
    env = {**os.environ, "HOMEVIGIL_SERVER_DATABASE_URL": url}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)
