"""One line in one process: a home with meters on an in-memory air, collector and outbox, and the clinic behind it.

Intake, judge and inboxes are the real ones on a real PostgreSQL; only MQTT is left out, a test carries the payloads itself.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import vaults
from fix_clinic import Clinic
from households import Household, enrol
from unit.gateway.homes import Home, at_home
from unit.gateway.samples import TestClock

from gateway.flights import pack
from server.clock import now
from server.intake import Intake
from server.judge import Judge
from server.push.dispatch import Dispatcher
from server.push.inbox import Inbox
from server.rules.load import load_catalog
from server.store import worklist
from server.store.enrolment import bind_meter
from server.store.postgres import transaction
from server.store.vault import open_envelope
from vitals.envelope import Receipt

GOOD: Final = {"name": "good", "kind": "blood_pressure", "index": 99}
"""The cuff from which the next good reading comes."""
MINUTE: Final = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class Line:
    """One home and the clinic behind it; a test says what happens in between."""

    home: Home
    household: Household
    clinic: Clinic
    intake: Intake

    def payloads(self, *, from_seq: int = 1) -> list[bytes]:
        """What the uplink would publish now."""
        rows = [row for row in self.home.outbox.unconfirmed(1000) if row.seq >= from_seq]
        parcels, oversize = pack(rows, gateway_id=self.household.gateway_id, epoch=self.home.outbox.epoch)
        assert oversize == []
        return [parcel.payload for parcel in parcels]

    def take(self, payload: bytes) -> Receipt | None:
        return self.intake.take(payload, topic_gateway=self.household.gateway_id)

    def send(self) -> dict[int, str]:
        """Everything that waits goes to the clinic, the receipts come back; what was rejected, by seq."""
        rejected: dict[int, str] = {}
        for payload in self.payloads():
            receipt = self.take(payload)
            assert receipt is not None
            self.home.outbox.apply(receipt, now=self.home.true_now)
            rejected |= {each.seq: each.reason for each in receipt.rejected}
        assert self.home.outbox.unconfirmed(1) == [], "what is answered is not sent for ever"
        return rejected

    def judge(self) -> None:
        """Everybody who is due is judged, and what is said then is in the inboxes."""
        judge = Judge(self.clinic.pool, load_catalog())
        while judge.judge_due():
            pass
        Dispatcher(self.clinic.pool, Inbox()).send_due()

    async def arrive(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many readings are kept and wait for no better time, send them, judge; the rows they became, in order of
        time."""

        def are_ready() -> bool:
            counts = self.home.outbox.counts()
            return counts.kept - counts.held >= count

        await self.home.until(are_ready)
        self.send()
        self.judge()
        return self.rows("select * from reading order by measured_at, reading_id")

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        return self.clinic.rows(sql, *values)

    def quarantined(self) -> list[tuple[str, bytes]]:
        """Reason and raw bytes of what the clinic has put away."""
        with transaction(self.clinic.pool) as conn:
            return [(reason, raw) for reason, _, raw in vaults.quarantined(conn)]

    def put_away_at_home(self) -> dict[bytes, tuple[str, int]]:
        """What the gateway has put away: the frame, why, and how many times it came."""
        found = self.home.outbox._read(lambda db: db.execute("select raw, reason, times from quarantine").fetchall())
        return {raw: (reason, times) for raw, reason, times in found}

    def doctor_was_told(self) -> list[str]:
        """The titles in the doctor's inbox, as the API gives it."""
        told = self.clinic.client("doctor").get("/api/v1/inbox").json()["messages"]
        return [message["text"]["en"]["title"] for message in told]

    def patient_was_told(self) -> list[str]:
        """The messages on the patient's own page."""
        with transaction(self.clinic.pool) as conn:
            told = worklist.list_patient_messages(conn, self.household.patient_id, limit=10)
        return [message.text["en"]["body"] for message in told]

    def episodes(self) -> list[tuple[str, str]]:
        found = self.rows("select rule_id, state from episode order by opened_at, rule_id")
        return [(row["rule_id"], row["state"]) for row in found]

    def keep_in(self, name: str, *frames: bytes) -> None:
        """Put frames into a meter's memory as they are, and let it say so."""
        meter = self.home.meter(name)
        for frame in frames:
            meter.firmware.keep(frame)
        meter.wake()

    async def let_a_good_reading_through(self) -> None:
        """The process goes on."""
        before = self.home.outbox.counts().kept
        self.home.let_pass(MINUTE)
        raw = self.home.inflate("good", systolic=128)
        await self.home.until(lambda: self.home.outbox.counts().kept > before)
        assert self.send() == {}
        self.judge()
        (stored,) = self.rows(
            "select r.quality, r.reading_id, w.raw from reading r join reading_frames w using (reading_id) where meter_id = %s",
            self.home.meter("good").meter.meter_id,
        )
        assert open_envelope(stored["raw"], "reading_raw.raw", stored["reading_id"]) == raw
        assert stored["quality"] == "accepted"
        assert self.rows("select 1 from due where due_at <= now()") == []


@asynccontextmanager
async def line_with(
    clinic: Clinic, folder: Path, *meters: dict[str, Any], bound: bool = True, clock: TestClock | None = None
) -> AsyncIterator[Line]:
    """A patient of the doctor with these meters, `bound` to the patient, and a good one; at the end that one is read."""
    doctor_id = clinic.add_user("doctor")
    with transaction(clinic.pool) as conn:
        household = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor_id)
    clinic.rows("update patient_zone set zone = %s", zone_in_the_middle_of_a_day())
    async with at_home(
        folder / "outbox.sqlite",
        *meters,
        GOOD,
        clock=clock,
        gateway_id=household.gateway_id,
        true_now=now().replace(microsecond=0) - 20 * MINUTE,
    ) as home:
        line = Line(home=home, household=household, clinic=clinic, intake=Intake(clinic.pool))
        for meter in home.air.meters.values():
            if bound or meter.meter.name == "good":
                bind(line, meter.meter.meter_id)
        yield line
        await line.let_a_good_reading_through()


def bind(line: Line, meter_id: str) -> None:
    with transaction(line.clinic.pool) as conn:
        bind_meter(
            conn,
            meter_id=meter_id,
            user_slot=None,
            gateway_id=line.household.gateway_id,
            patient_id=line.household.patient_id,
            bound_by="test",
            now=line.household.since,
        )


def zone_in_the_middle_of_a_day() -> str:
    """A zone where the clinical day neither began nor will end within the hour, whenever this test is run."""
    is_near = now().astimezone(ZoneInfo("Asia/Shanghai")).hour in (2, 3)
    return "America/Lima" if is_near else "Asia/Shanghai"
