"""The database is set back to an earlier state, or lost whole: the gateways bring back what they still have, each reading once.

A real outbox stands at the other end; receipts and statuses are carried by hand, so that a test says what is lost on the way.
"""

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from households import Household, enrol

from gateway.flights import pack
from gateway.outbox import KEPT_AFTER_RECEIPT, Outbox
from homevigil.embedded.postgres import EmbeddedPostgres
from server.clock import now
from server.intake import Intake
from server.rewind import ROUNDS
from server.store.alarms import AlarmKind, clear_alarm, open_alarms
from server.store.enrolment import add_gateway, add_patient, bind_meter
from server.store.intake import check_accounts, holes, outbox_lives
from server.store.postgres import Pool, open_pool, transaction
from vitals.envelope import MAX_SPANS, Receipt
from vitals.reading import Reading

_numbers = count(1)


@dataclass(slots=True)
class Clinic:
    """A database that can be set back to how it was."""

    server: EmbeddedPostgres
    name: str
    pool: Pool
    copies: list[str]

    @property
    def intake(self) -> Intake:
        return Intake(self.pool)

    def keep_a_copy(self, copy: str) -> None:
        self.pool.close()
        self.copies.append(f"{self.name}_{copy}")
        self.server.create_database(self.copies[-1], template=self.name)
        self._open()

    def go_back_to(self, copy: str) -> None:
        self.pool.close()
        self.server.drop_database(self.name)
        self.server.create_database(self.name, template=f"{self.name}_{copy}")
        self._open()

    def _open(self) -> None:
        self.pool = open_pool(self.server.url(self.name))

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with transaction(self.pool) as conn:
            cursor = conn.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def stored(self) -> list[Any]:
        return [row[0] for row in self.ask("select reading_id from reading order by reading_id")]

    def alarms(self) -> list[tuple[str, str]]:
        with transaction(self.pool) as conn:
            return [(alarm.subject, alarm.detail) for alarm in open_alarms(conn) if alarm.kind == "server_lost"]


@pytest.fixture
def clinic(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[Clinic]:
    name = f"clinic_{next(_numbers)}"
    url = postgres.create_database(name, template=migrated_template)
    clinic = Clinic(postgres, name, open_pool(url), [])
    clinic.keep_a_copy("empty")
    yield clinic
    with transaction(clinic.pool) as conn:
        assert check_accounts(conn) == ()
    clinic.pool.close()
    for each in (clinic.name, *clinic.copies):
        postgres.drop_database(each)


@dataclass(slots=True)
class Box:
    """A gateway: a real outbox, and what it says and sends."""

    home: Household
    outbox: Outbox
    kept: list[Reading]

    def measure(self, count: int) -> None:
        for _ in range(count):
            reading = self.home.pressure(now().replace(microsecond=0) - timedelta(days=30, minutes=-len(self.kept)))
            assert self.outbox.keep(reading) is not None
            self.kept.append(reading)

    def send(self, clinic: Clinic, *, is_heard: Callable[[], bool] = lambda: True) -> None:
        """Everything that waits goes to the clinic; a receipt comes back when it `is_heard`."""
        while rows := self.outbox.unconfirmed(50):
            parcels, _ = pack(rows, gateway_id=self.home.gateway_id, epoch=self.outbox.epoch)
            for parcel in parcels:
                receipt = clinic.intake.take(parcel.payload, topic_gateway=self.home.gateway_id)
                assert receipt is not None
                if is_heard():
                    self.outbox.apply(receipt, now=now())

    def status(self) -> bytes:
        said = {"epoch": self.outbox.epoch, **asdict(self.outbox.counts())}
        return json.dumps({"state": "online", "outbox": said}).encode()

    def say(self, clinic: Clinic, status: bytes | None = None, *, is_old: bool = False) -> Receipt | None:
        return clinic.intake.note_status(status or self.status(), topic_gateway=self.home.gateway_id, is_old=is_old)

    def settle(self, clinic: Clinic) -> int:
        """Statuses and answers go to and fro, and what waits is sent, until the clinic asks for nothing; how often it asked."""
        asked = 0
        while (receipt := self.say(clinic)) is not None:
            asked += 1
            self.outbox.apply(receipt, now=now())
            self.send(clinic)
            assert asked < 100
        return asked


@pytest.fixture
def box(clinic: Clinic, tmp_path: Path) -> Iterator[Box]:
    with transaction(clinic.pool) as conn:
        home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())
    with Outbox(tmp_path / "outbox.sqlite", now=now()) as outbox:
        yield Box(home, outbox, [])


def enrol_again(clinic: Clinic, home: Household) -> None:
    """The same box and meter, typed in anew."""
    with transaction(clinic.pool) as conn:
        add_gateway(conn, home.gateway_id, "Asia/Shanghai")
        patient_id = add_patient(
            conn,
            name="P",
            language="zh",
            enrolled_on=home.since.date(),
            zone="Asia/Shanghai",
            doctor_id=None,
            now=home.since,
        )
        bind_meter(
            conn,
            meter_id=home.cuff,
            user_slot=None,
            gateway_id=home.gateway_id,
            patient_id=patient_id,
            bound_by="nurse",
            now=home.since,
        )


def missing_for_long(clinic: Clinic) -> dict[str, str]:
    with transaction(clinic.pool) as conn:
        return holes(conn, older_than=timedelta(seconds=-1))


def everything_is_there(clinic: Clinic, box: Box) -> None:
    assert clinic.stored() == sorted(reading.reading_id for reading in box.kept)
    counts = box.outbox.counts()
    assert (counts.confirmed, counts.unconfirmed) == (len(box.kept), 0)


def test_what_a_restored_database_has_lost_comes_back_once_and_a_person_is_told(clinic: Clinic, box: Box) -> None:
    box.measure(30)
    box.send(clinic)
    assert box.say(clinic) is None
    clinic.keep_a_copy("backup")
    box.measure(40)
    box.send(clinic)
    assert box.say(clinic) is None
    clinic.go_back_to("backup")
    box.measure(3)
    box.send(clinic)
    assert clinic.alarms() == []
    assert box.settle(clinic) == 1
    everything_is_there(clinic, box)
    ((subject, detail),) = clinic.alarms()
    assert subject == box.home.gateway_id
    assert detail == f"epoch {box.outbox.epoch}: 40 readings were confirmed and are not here; asked for again"
    assert missing_for_long(clinic) == {}


def test_who_asks_for_the_time_is_asked_for_what_was_lost_in_the_same_receipt(clinic: Clinic, box: Box) -> None:
    clinic.keep_a_copy("backup")
    box.measure(3)
    box.send(clinic)
    clinic.go_back_to("backup")
    asks = {"epoch": box.outbox.epoch, "question": "boot-1 7.5"}
    receipt = box.say(clinic, json.dumps(json.loads(box.status()) | {"asks": asks}).encode())
    assert receipt is not None
    assert (receipt.missing, receipt.asked) == (((1, 3),), "boot-1 7.5")
    assert receipt.at is not None


def test_readings_behind_the_restored_ones_do_not_hide_what_is_lost(clinic: Clinic, box: Box) -> None:
    box.measure(10)
    box.send(clinic)
    clinic.keep_a_copy("backup")
    box.measure(5)
    box.send(clinic)
    clinic.go_back_to("backup")
    box.measure(50)
    box.send(clinic)
    receipt = box.say(clinic)
    assert receipt == Receipt(epoch=box.outbox.epoch, upto=10, missing=((11, 15),))
    box.outbox.apply(receipt, now=now())
    box.send(clinic)
    everything_is_there(clinic, box)


def test_a_database_lost_whole_is_filled_again_once_the_home_is_enrolled_anew(clinic: Clinic, box: Box) -> None:
    box.measure(60)
    box.send(clinic)
    clinic.go_back_to("empty")
    box.measure(2)
    assert box.say(clinic) is None, "nobody knows this gateway yet"
    enrol_again(clinic, box.home)
    assert box.settle(clinic) >= 1
    box.send(clinic)
    everything_is_there(clinic, box)
    assert len(clinic.alarms()) == 1


def test_what_the_gateway_has_forgotten_is_asked_for_a_few_times_and_then_said_to_be_lost(
    clinic: Clinic, box: Box
) -> None:
    box.measure(20)
    box.send(clinic)
    assert box.outbox.purge(now=now() + KEPT_AFTER_RECEIPT + timedelta(minutes=1)) == 20
    box.measure(15)
    box.send(clinic)
    clinic.ask("delete from due")
    for table in ("reading", "reading_raw", "reading_seen", "gateway_progress", "gateway_account", "quarantine"):
        clinic.ask(f"delete from {table}")
    assert box.settle(clinic) == 1 + ROUNDS
    assert clinic.stored() == sorted(reading.reading_id for reading in box.kept[20:])
    ((_, detail),) = clinic.alarms()
    assert "20 readings were confirmed and are not here; the gateway has not kept them so long" in detail
    assert missing_for_long(clinic) == {}, "nobody waits for what cannot come"
    with transaction(clinic.pool) as conn:
        assert clear_alarm(conn, AlarmKind.SERVER_LOST, subject=box.home.gateway_id, cleared_by="nurse")
    box.measure(5)
    box.send(clinic)
    assert box.say(clinic) is None
    assert clinic.alarms() == [], "a person has looked; it is not said again"


def test_more_holes_than_one_receipt_can_name_are_filled_by_several(clinic: Clinic, box: Box) -> None:
    readings = 2 * (MAX_SPANS + 30)
    box.measure(readings)
    box.send(clinic)
    odd = [box.kept[at].reading_id for at in range(0, readings, 2)]
    for table in ("reading", "reading_raw", "reading_seen"):
        clinic.ask(f"delete from {table} where reading_id = any(%s)", odd)
    clinic.ask("delete from due")
    every_other = "{" + ",".join(f"[{seq},{seq}]" for seq in range(2, readings + 1, 2)) + "}"
    clinic.ask("update gateway_progress set seen = %s::int8multirange", every_other)
    clinic.ask("update gateway_account set received = %s, stored = %s", readings // 2, readings // 2)
    assert box.settle(clinic) == 2
    everything_is_there(clinic, box)


def test_a_status_from_before_the_receipts_asks_for_nothing_and_an_old_one_is_not_listened_to(
    clinic: Clinic, box: Box
) -> None:
    early = box.status()
    box.measure(10)
    waiting = box.status()
    box.send(clinic, is_heard=iter([False] + [True] * 9).__next__)
    late = box.status()
    for status in (early, waiting, late, waiting, early):
        assert box.say(clinic, status) is None
    clinic.go_back_to("empty")
    with transaction(clinic.pool) as conn:
        conn.execute("insert into gateway (gateway_id, zone) values (%s, 'UTC')", (box.home.gateway_id,))
    assert box.say(clinic, late, is_old=True) is None
    assert clinic.alarms() == []
    assert box.say(clinic, late) is not None
    clinic.ask("update gateway set state = 'suspended'")
    assert box.say(clinic, late) is None, "who is shut out is asked for nothing"


def test_an_answer_that_is_lost_on_the_way_or_comes_twice_costs_nothing(clinic: Clinic, box: Box) -> None:
    box.measure(10)
    box.send(clinic)
    clinic.keep_a_copy("backup")
    box.measure(10)
    box.send(clinic)
    clinic.go_back_to("backup")
    assert box.say(clinic) is not None
    receipt = box.say(clinic)
    assert receipt is not None
    box.outbox.apply(receipt, now=now())
    stale = box.say(clinic)
    assert stale is None, "what waits again is asked for no more"
    box.send(clinic)
    box.outbox.apply(receipt, now=now())  # once more, from a broker that was slow
    box.send(clinic)
    everything_is_there(clinic, box)
    assert box.say(clinic) is None


def test_another_outbox_of_the_gateway_is_counted_by_itself(clinic: Clinic, box: Box, tmp_path: Path) -> None:
    box.measure(10)
    box.send(clinic)
    with Outbox(tmp_path / "second.sqlite", now=now()) as second:
        other = replace(box, outbox=second, kept=[])
        assert other.say(clinic) is None
        other.measure(1)
        other.send(clinic)
        assert other.say(clinic) is None
    with transaction(clinic.pool) as conn:
        assert [life.highest for life in outbox_lives(conn)] == [10, 1]
    assert clinic.alarms() == []


@pytest.mark.parametrize("seed", range(6))
def test_whenever_it_is_set_back_and_whatever_is_lost_on_the_way_everything_is_stored_once(
    clinic: Clinic, box: Box, seed: int
) -> None:
    die = random.Random(seed)
    copies: list[str] = []
    for step in range(12):
        match die.choice(["measure", "measure", "send", "send", "say", "copy", "restore"]):
            case "measure":
                box.measure(die.randint(1, 20))
            case "send":
                box.send(clinic, is_heard=lambda: die.random() < 0.6)
            case "say":
                receipt = box.say(clinic)
                if receipt is not None and die.random() < 0.6:
                    box.outbox.apply(receipt, now=now())
            case "copy":
                copies.append(f"copy_{step}")
                clinic.keep_a_copy(copies[-1])
            case "restore" if copies:
                clinic.go_back_to(die.choice(copies))
    box.measure(1)
    box.send(clinic)
    box.settle(clinic)
    everything_is_there(clinic, box)


# A card that is written anew from an old copy of itself


def test_an_outbox_set_back_to_an_old_copy_confirms_nothing_that_was_not_sent(
    clinic: Clinic, box: Box, tmp_path: Path
) -> None:
    box.measure(3)
    box.send(clinic)
    copy = tmp_path / "copy.sqlite"
    with closing(sqlite3.connect(box.outbox.path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    box.measure(20)
    box.send(clinic)
    with Outbox(copy, now=now()) as old:
        again = Box(box.home, old, box.kept)
        again.measure(25)  # numbers 4 to 28, of which the clinic knows 4 to 23 by other readings
        [first, *_], _ = pack(old.unconfirmed(2), gateway_id=box.home.gateway_id, epoch=old.epoch)
        receipt = clinic.intake.take(first.payload, topic_gateway=box.home.gateway_id)
        assert receipt is not None
        old.apply(receipt, now=now())
        assert [row.seq for row in old.unconfirmed(100)] == list(range(6, 29))
        again.send(clinic)
        assert again.say(clinic) is None
    assert set(clinic.stored()) == {reading.reading_id for reading in box.kept}
    assert clinic.alarms() == []


def test_an_outbox_set_back_that_is_full_of_what_the_clinic_has_is_answered_again(
    clinic: Clinic, box: Box, tmp_path: Path
) -> None:
    box.measure(5)
    copy = tmp_path / "copy.sqlite"
    with closing(sqlite3.connect(box.outbox.path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    box.measure(20)
    box.send(clinic)
    with Outbox(copy, now=now(), max_unconfirmed=5) as old:
        again = Box(box.home, old, box.kept)
        [parcel], _ = pack(old.unconfirmed(5), gateway_id=box.home.gateway_id, epoch=old.epoch)
        receipt = clinic.intake.take(parcel.payload, topic_gateway=box.home.gateway_id)
        assert receipt is not None
        old.apply(receipt, now=now())
        counts = old.counts()
        assert (counts.unconfirmed, counts.beyond) == (5, 25), "it cannot tell which readings the clinic means"
        again.say(clinic)
        again.send(clinic)
        counts = old.counts()
        assert (counts.unconfirmed, counts.beyond) == (0, 0)
        again.measure(3)
        again.send(clinic)
        assert old.counts().unconfirmed == 0
    assert set(clinic.stored()) == {reading.reading_id for reading in box.kept}
    assert clinic.alarms() == []


def test_a_refused_reading_that_is_taken_in_at_last_is_no_number_given_again(clinic: Clinic, box: Box) -> None:
    box.measure(1)
    clinic.ask("update meter_binding set gateway_id = gateway_id, valid_to = valid_from returning 1")
    [parcel], _ = pack(box.outbox.unconfirmed(9), gateway_id=box.home.gateway_id, epoch=box.outbox.epoch)
    clinic.intake.take(parcel.payload, topic_gateway=box.home.gateway_id)
    clinic.ask("update meter_binding set valid_to = null returning 1")
    box.measure(2)
    box.send(clinic)
    with transaction(clinic.pool) as conn:
        assert holes(conn, older_than=timedelta(seconds=-1)) == {}
    assert len(clinic.stored()) == 3
