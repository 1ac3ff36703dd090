"""People with meters and a gateway, and what their gateway would send: real ids, real envelopes, plain values."""

import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any
from uuid import UUID

import msgspec

from server.store import people
from server.store.enrolment import add_gateway, add_patient, bind_meter
from server.store.postgres import Connection
from vitals.envelope import encode_envelope, encode_reading
from vitals.identity import reading_id
from vitals.reading import BloodPressure, Glucose, Measurement, Reading, TimeQuality, Weight, kind_of

EPOCH = "0123456789abcdef0123456789abcdef"
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """One patient with a cuff and a glucometer at one gateway, bound since `since`."""

    gateway_id: str
    patient_id: int
    cuff: str
    glucometer: str
    since: datetime
    user_slot: int | None = None

    def pressure(self, at: datetime, systolic: float = 152, diastolic: float = 94, **changes: Any) -> Reading:
        """A blood-pressure reading; `changes` replace fields of the reading after its id was derived."""
        raw = b"\x12" + struct.pack("<HHH", int(systolic), int(diastolic), 110) + at.isoformat().encode()[:19]
        said = at.replace(tzinfo=None).isoformat(timespec="seconds")
        measurement = BloodPressure(
            systolic_mmhg=systolic, diastolic_mmhg=diastolic, mean_mmhg=110, pulse_bpm=72, unit_sent="mmHg", status=0
        )
        given = reading_id(
            meter_id=self.cuff, kind="blood_pressure", raw=raw, user_slot=self.user_slot, meter_time=said
        )
        return self._reading(given, self.cuff, measurement, at, said, "2a35", raw, changes)

    def glucose(self, at: datetime, mg_dl: float = 126, **changes: Any) -> Reading:
        """A finger-stick."""
        sequence = next(_numbers)
        raw = b"\x0b" + struct.pack("<HH", sequence, int(mg_dl))
        said = at.replace(tzinfo=None).isoformat(timespec="seconds")
        measurement = Glucose(
            sequence=sequence, glucose_mmol_l=mg_dl / 18.0182, glucose_mg_dl=mg_dl, unit_sent="kg/L", meal="fasting"
        )
        given = reading_id(meter_id=self.glucometer, kind="glucose", raw=raw, sequence=sequence, meter_time=said)
        return self._reading(given, self.glucometer, measurement, at, said, "2a18", raw, changes)

    def weight(self, at: datetime, weight_kg: float = 81.4, **changes: Any) -> Reading:
        """A weighing, on a scale that goes by the glucometer's binding."""
        return self.other(at, Weight(weight_kg=weight_kg, unit_sent="kg", weight_sent=weight_kg), "2a9d", **changes)

    def other(self, at: datetime, measurement: Measurement, characteristic: str, **changes: Any) -> Reading:
        """A reading of any kind, by a meter that goes by the glucometer's binding."""
        raw = struct.pack("<I", next(_numbers))
        said = at.replace(tzinfo=None).isoformat(timespec="seconds")
        given = reading_id(meter_id=self.glucometer, kind=kind_of(measurement), raw=raw, meter_time=said)
        return self._reading(given, self.glucometer, measurement, at, said, characteristic, raw, changes)

    def _reading(
        self,
        given: UUID,
        meter_id: str,
        measurement: Measurement,
        at: datetime,
        said: str,
        characteristic: str,
        raw: bytes,
        changes: dict[str, Any],
    ) -> Reading:
        reading = Reading(
            reading_id=given,
            gateway_id=self.gateway_id,
            meter_id=meter_id,
            user_slot=self.user_slot if meter_id == self.cuff else None,
            measurement=measurement,
            measured_at=at,
            meter_time=said,
            received_at=at + timedelta(seconds=3),
            time_quality=TimeQuality.CORRECTED,
            clock_offset_s=0.5,
            zone="Asia/Shanghai",
            characteristic=characteristic,
            raw=raw,
            decoder="test 1",
        )
        return msgspec.structs.replace(reading, **changes)

    def envelope(self, *readings: Reading, first_seq: int = 1, epoch: str = EPOCH) -> bytes:
        """What the gateway publishes for these readings, numbered from `first_seq`."""
        rows = [(first_seq + at, encode_reading(reading)) for at, reading in enumerate(readings)]
        return encode_envelope(self.gateway_id, epoch, rows)


def give_page(conn: Connection, patient_id: int) -> None:
    """The patient has a link to the own page, which outlasts every test: what is told there is read."""
    people.issue_patient_link(
        conn,
        token_hash=sha256(b"page of %d" % patient_id).digest(),
        patient_id=patient_id,
        now=datetime(2000, 1, 1, tzinfo=UTC),
        expires_at=datetime(2200, 1, 1, tzinfo=UTC),
    )


def enrol(
    conn: Connection, *, enrolled_on: date, doctor_id: int | None = None, user_slot: int | None = None
) -> Household:
    """A new household whose bindings hold from the day of enrolment; its number follows from the database alone, so that what is
    drawn from a seed is the same whatever ran before."""
    ((before,),) = conn.execute(b"select count(*) from gateway where gateway_id ~ '^gw-[0-9]+$'").fetchall()
    number = before + 1
    since = datetime(enrolled_on.year, enrolled_on.month, enrolled_on.day, tzinfo=UTC) - timedelta(days=1)
    gateway_id, cuff, glucometer = f"gw-{number}", f"F0:00:00:10:00:{number % 256:02X}-{number}", f"GLU-{number}"
    add_gateway(conn, gateway_id, "Asia/Shanghai")
    patient_id = add_patient(
        conn,
        name=f"Patient {number}",
        language="zh",
        enrolled_on=enrolled_on,
        zone="Asia/Shanghai",
        doctor_id=doctor_id,
        now=since,
    )
    give_page(conn, patient_id)
    for meter_id, slot in ((cuff, user_slot), (glucometer, None)):
        bind_meter(
            conn,
            meter_id=meter_id,
            user_slot=slot,
            gateway_id=gateway_id,
            patient_id=patient_id,
            bound_by="test",
            now=since,
        )
    return Household(
        gateway_id=gateway_id,
        patient_id=patient_id,
        cuff=cuff,
        glucometer=glucometer,
        since=since,
        user_slot=user_slot,
    )
