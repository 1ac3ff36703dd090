"""Whatever a collector does and however links break, the meters' firmware loses no record and answers everything."""

import contextlib
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.faults import Faults
from firmware_sims.firmware import AttError, Indicate, Notify
from firmware_sims.glucometer import Glucometer
from firmware_sims.happenings import firmware_of
from firmware_sims.kinds import KINDS
from firmware_sims.settings import Meter
from vitals.gatt import uuids
from vitals.gatt.record_access import OpCode, RecordAccess

WALL = datetime(2026, 11, 21, 7, 5, 30)  # noqa: DTZ001  # a wall clock


class CuffAndCollector(RuleBasedStateMachine):
    """A cuff, and a collector that comes, goes, and may lose the link at any moment."""

    def __init__(self) -> None:
        super().__init__()
        faults = Faults(drops_after_indication=2)
        self.cuff = BloodPressureMeter(Meter(name="bp", kind="blood_pressure", index=1, faults=faults))
        self.measured: list[bytes] = []
        self.confirmed: list[bytes] = []
        self.pending: bytes | None = None
        self.is_connected = False

    @rule(systolic=st.integers(90, 200))
    def measure(self, systolic: int) -> None:
        self.measured.append(self.cuff.measure(wall=WALL, systolic_mmhg=systolic, diastolic_mmhg=60))

    @precondition(lambda self: not self.is_connected)
    @rule()
    def connect(self) -> None:
        self.cuff.on_connected()
        self.is_connected = True

    @precondition(lambda self: self.is_connected)
    @rule(is_on=st.booleans())
    def subscribe(self, is_on: bool) -> None:
        self.cuff.on_subscribed(uuids.BLOOD_PRESSURE_MEASUREMENT, is_on=is_on)

    @precondition(lambda self: self.is_connected)
    @rule()
    def take(self) -> None:
        action = self.cuff.next_action()
        if action is None:
            return
        assert isinstance(action, Indicate)
        assert self.pending is None, "one indication at a time"
        self.pending = action.value
        if action.then_drops:
            self.disconnect()

    @precondition(lambda self: self.pending is not None)
    @rule()
    def confirm(self) -> None:
        assert self.pending is not None
        self.cuff.on_confirmed()
        self.confirmed.append(self.pending)
        self.pending = None

    @precondition(lambda self: self.is_connected)
    @rule()
    def disconnect(self) -> None:
        self.cuff.on_disconnected()
        self.is_connected, self.pending = False, None

    @invariant()
    def every_record_is_confirmed_once_or_still_kept(self) -> None:
        assert [*self.confirmed, *self.cuff.records] == self.measured
        assert self.cuff.is_advertising == bool(self.cuff.records)


TestCuffAndCollector = CuffAndCollector.TestCase


def a_connected_glucometer(records: int) -> Glucometer:
    meter = Glucometer(Meter(name="glu", kind="glucose", index=1))
    for n in range(records):
        meter.measure(wall=WALL, glucose_mg_dl=100 + n, meal="fasting" if n % 2 else None)
    meter.on_connected()
    for characteristic in (uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT, uuids.RECORD_ACCESS):
        meter.on_subscribed(characteristic, is_on=True)
    return meter


def all_said(meter: Glucometer) -> list[Notify | Indicate]:
    actions: list[Notify | Indicate] = []
    while (action := meter.next_action()) is not None:
        assert isinstance(action, Notify | Indicate)
        actions.append(action)
        if isinstance(action, Indicate):
            meter.on_confirmed()
    return actions


LIKELY = st.builds(
    lambda op, operator, operand: bytes((op, operator)) + operand,
    st.integers(0, 9),
    st.integers(0, 8),
    st.one_of(st.binary(max_size=8), st.builds(lambda b: b"\x01" + b, st.binary(max_size=5))),
)


@given(commands=st.lists(st.one_of(LIKELY, st.binary(max_size=12)), max_size=6), records=st.integers(0, 4))
def test_every_command_gets_one_answer_or_an_att_error(commands: list[bytes], records: int) -> None:
    meter = a_connected_glucometer(records)
    for command in commands:
        try:
            meter.write(uuids.RECORD_ACCESS, command, wall=WALL)
        except AttError:
            assert meter.next_action() is None
            continue
        *_, last = all_said(meter)
        assert isinstance(last, Indicate)
        answer = RecordAccess.from_bytes(last.value)
        assert answer.op_code in (OpCode.RESPONSE_CODE, OpCode.NUMBER_OF_STORED_RECORDS_RESPONSE)
        if answer.op_code == OpCode.RESPONSE_CODE:
            assert answer.request_op_code == command[0]


@given(first=st.integers(0, 0xFFFF), last=st.integers(0, 0xFFFF))
def test_a_count_is_what_a_report_brings(first: int, last: int) -> None:
    operand = b"\x01" + first.to_bytes(2, "little") + last.to_bytes(2, "little")
    meter = a_connected_glucometer(6)
    meter.write(uuids.RECORD_ACCESS, b"\x04\x04" + operand, wall=WALL)
    (counted,) = all_said(meter)
    meter.write(uuids.RECORD_ACCESS, b"\x01\x04" + operand, wall=WALL)
    reported = [a for a in all_said(meter) if a.characteristic == uuids.GLUCOSE_MEASUREMENT]
    if first <= last:
        assert RecordAccess.from_bytes(counted.value).number_of_records == len(reported)
    else:
        assert reported == []


@given(value=st.binary(max_size=16))
def test_whatever_is_written_to_the_clock_it_still_shows_a_time(value: bytes) -> None:
    for kind in KINDS:
        meter = firmware_of(Meter(name="m", kind=kind, index=1))
        if not meter.clock.is_there:
            continue
        with contextlib.suppress(AttError):
            meter.write(uuids.CURRENT_TIME, value, wall=WALL)
        assert len(meter.read(uuids.CURRENT_TIME, wall=WALL)) == 10
