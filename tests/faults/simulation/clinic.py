"""The clinic: a broker that forgets, the product's intake, judge and dispatcher on a real database, and processes that die.

Each part is a process of its own that does its work when the agenda says so; a part that dies loses what it had not committed,
and nothing else.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from households import give_page

from faults.simulation.agenda import Agenda
from faults.simulation.database import Database, DiedError
from faults.simulation.people import Person
from faults.simulation.records import Judging, Records
from server.intake import Intake
from server.judge import Judge
from server.push.dispatch import Dispatcher
from server.push.inbox import Inbox
from server.rules.load import load_catalog
from server.store import enrolment
from vitals.envelope import encode_receipt
from vitals.errors import UnavailableError

ENROLLED_BEFORE: Final = timedelta(days=10)
BATCH: Final = 100


@dataclass(slots=True, kw_only=True)
class Odds:
    """How rough the clinic's life is; all 0 when the faults have stopped."""

    intake_dies: float = 0.0
    judge_dies: float = 0.0
    sender_dies: float = 0.0
    split: float = 0.0
    judged_between: float = 0.0
    arrives_meanwhile: float = 0.0


class Message(NamedTuple):
    """Readings on their way, and which they are."""

    gateway_id: str
    payload: bytes
    reading_ids: tuple[str, ...]


class WatchedJudge(Judge):
    """The product's judge; tells the model that a judging has been committed."""

    on_judged: Callable[[], None]

    def judge_patient(self, patient_id: int) -> bool:
        is_judged = super().judge_patient(patient_id)
        if is_judged:
            self.on_judged()
        return is_judged


class Clinic:
    """`answer` carries a receipt to a gateway, as `(gateway_id, payload)`."""

    def __init__(
        self,
        *,
        database: Database,
        agenda: Agenda,
        records: Records,
        rng: random.Random,
        answer: Callable[[str, bytes], None],
    ) -> None:
        self.odds = Odds()
        self.is_up = True
        self.is_judging = True
        self.rows_taken = 0
        self.deaths = 0
        self.judgings = 0
        self._database, self._agenda, self._records, self._rng, self._answer = database, agenda, records, rng, answer
        self._queue: list[Message] = []
        self._is_woken = False
        self._is_at_it = False
        self._intake = Intake(database)  # type: ignore[arg-type]
        self._judge = WatchedJudge(database, load_catalog())  # type: ignore[arg-type]
        self._judge.on_judged = self._note_judged
        self._begun: tuple[int, Judging] | None = None
        self._judge_dies = False
        self._sender = Dispatcher(database, Inbox())  # type: ignore[arg-type]

    def enrol(self, people: Iterable[Person]) -> None:
        now = self._agenda.now
        with self._database.connection() as conn:
            for number in range(3):
                conn.execute(
                    "insert into app_user (login, display_name, role, password_hash) values (%s, '-', 'doctor', '-')",
                    (f"doctor-{number}",),
                )
            for person in people:
                gateway_id, since = f"gw-{person.number:03d}", now - ENROLLED_BEFORE
                enrolment.add_gateway(conn, gateway_id, person.zone.key)
                patient_id = enrolment.add_patient(
                    conn,
                    name="-",
                    language="zh",
                    enrolled_on=since.astimezone(person.zone).date(),
                    zone=person.zone.key,
                    doctor_id=person.number % 3 + 1,
                    now=since,
                )
                assert patient_id == person.number + 1, patient_id
                give_page(conn, patient_id)
                for meter in filter(None, (person.cuff, person.glucometer)):
                    enrolment.bind_meter(
                        conn,
                        meter_id=meter.meter_id,
                        user_slot=None,
                        gateway_id=gateway_id,
                        patient_id=patient_id,
                        bound_by="simulation",
                        now=since - timedelta(days=390),
                    )

    # -- intake --------------------------------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """It has reached the broker; it stays there until the intake has committed it, or the broker forgets."""
        if not self.is_up:
            return
        self._queue.append(message)
        self._wake_intake(self._rng.choice((0.05, 2.0, 8.0)))

    def restart_broker(self) -> None:
        """What it had in memory is gone."""
        self._queue.clear()

    def _wake_intake(self, wait_s: float) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._agenda.after(wait_s, self._take_in)

    def _take_in(self) -> None:
        self._is_woken = False
        if self._queue and self.is_up:
            size = self._rng.randint(1, 5) if self._rng.random() < self.odds.split else BATCH
            self._take(self._queue[:size])

    def _take(self, batch: list[Message]) -> None:
        fate = self._rng.random()
        self._database.dies_before_commit = fate < self.odds.intake_dies / 2
        try:
            receipts = self._intake.take_all((each.gateway_id, each.payload) for each in batch)
        except (DiedError, UnavailableError) as e:
            self._database.dies_before_commit = False
            self._note_death("intake", e)
            self._wake_intake(self._rng.uniform(5, 120))
            return
        finally:
            self._database.dies_before_commit = False  # a batch without a commit leaves no death to the next one
        for each in batch:
            self.rows_taken += len(each.reading_ids)
            self._records.books.commit(each.reading_ids)
        if self.odds.intake_dies / 2 <= fate < self.odds.intake_dies:
            self._note_death("intake after its commit", None)
            self._wake_intake(self._rng.uniform(5, 120))
            return
        for each in batch:
            self._queue.remove(each)
        for each, receipt in zip(batch, receipts, strict=True):
            if receipt is not None:
                self._answer(each.gateway_id, encode_receipt(receipt))
        if self._queue:
            self._wake_intake(0.05)
            if self._rng.random() < self.odds.judged_between:
                self.judge()

    def take_status(self, gateway_id: str, payload: bytes) -> None:
        """What a gateway says of itself; it may have to send again what a database set back has lost."""
        if not self.is_up:
            return
        try:
            receipt = self._intake.note_status(payload, topic_gateway=gateway_id, is_old=False)
        except UnavailableError:
            return
        if receipt is not None:
            self._records.diary.note(self._agenda.now_s, f"{gateway_id} is asked again for {receipt.missing}")
            self._answer(gateway_id, encode_receipt(receipt))

    # -- judging and telling -------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Judge everybody who is due, as long as there is somebody; then send what is due."""
        if not self.is_judging or self._is_at_it:
            return
        self._is_at_it = True
        self._judge_dies = self._rng.random() < self.odds.judge_dies
        try:
            while judged := self._judge.judge_due():
                self.judgings += judged
        except (DiedError, UnavailableError) as e:
            self._note_death("judge", e)
        finally:
            self._is_at_it = False
        self._database.dies_before_commit = False
        self._send()

    def _send(self) -> None:
        try:
            self._database.dies_before_commit = self._rng.random() < self.odds.sender_dies
            while self._sender.send_due():
                self._database.dies_before_commit = self._rng.random() < self.odds.sender_dies
        except (DiedError, UnavailableError) as e:
            self._note_death("sender", e)
        self._database.dies_before_commit = False

    def note_taken(self, patient_id: int, since: datetime) -> None:
        """A judging begins, with what is due just now."""
        self._begun = patient_id - 1, Judging(after=len(self._records.books.committed), since=since)

    def _note_judged(self) -> None:
        assert self._begun is not None, "nobody is judged before what is due has been taken"
        home, judging = self._begun
        self._records.books.judgings[home].append(judging)

    def meanwhile(self) -> None:
        """A patient's readings have been loaded, and the judging has not ended: something may arrive just now, rather of the same
        patient than of another; and the judge may die."""
        assert self._begun is not None, "nothing is loaded before what is due has been taken"
        home, _ = self._begun
        if self._queue and self._rng.random() < self.odds.arrives_meanwhile:
            theirs = (each for each in self._queue if each.gateway_id == f"gw-{home:03d}")
            message = next(theirs, self._queue[0])
            words = f"in the middle of a judging, readings of {message.gateway_id} arrive"
            self._records.diary.note(self._agenda.now_s, words, home=home)
            self._take([message])
        self._database.dies_before_commit, self._judge_dies = self._judge_dies, False

    def _note_death(self, who: str, why: BaseException | None) -> None:
        self.deaths += 1
        self._records.diary.note(self._agenda.now_s, f"{who} stops: {type(why).__name__}")
