"""Whatever a collector does and however links break, scales, thermometers and oximeters lose no record and answer everything."""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from unit.firmware_sims.told import ONE_OF_EACH, a_meter, all_said, listen_to, tell

from firmware_sims.firmware import AttError, Indicate, Notify
from firmware_sims.pulse_oximeter import PulseOximeter
from vitals.gatt import uuids
from vitals.gatt.record_access import OpCode, RecordAccess
from vitals.gatt.user_data import UserControl

WALL = datetime(2026, 11, 21, 7, 5, 30)  # noqa: DTZ001  # a wall clock


class OximeterAndCollector(RuleBasedStateMachine):
    """Spot checks, alone and before a collector that comes, asks, goes, and may lose the link at any moment."""

    def __init__(self) -> None:
        super().__init__()
        meter = a_meter("oxygen_saturation", faults={"drops_after_indication": 2})
        assert isinstance(meter, PulseOximeter)
        self.meter = meter
        self.checks = 0
        self.taken: set[bytes] = set()
        self.pending: Indicate | None = None
        self.is_connected = False

    @rule()
    def check(self) -> None:
        self.checks += 1
        tell(self.meter, spo2_percent=95, pulse_bpm=40 + self.checks)

    @rule()
    def put_in(self) -> None:
        tell(self.meter, spo2_percent=95, pulse_bpm=60, is_worn=True)

    @precondition(lambda self: self.meter.is_ticking)
    @rule(is_last=st.booleans())
    def tick(self, is_last: bool) -> None:
        self.meter.on_tick(wall=WALL)
        if is_last:
            tell(self.meter, is_worn=False)

    @precondition(lambda self: not self.is_connected)
    @rule()
    def connect(self) -> None:
        listen_to(self.meter, uuids.PLX_SPOT_CHECK, uuids.PLX_CONTINUOUS, uuids.RECORD_ACCESS)
        self.is_connected = True

    @precondition(lambda self: self.is_connected)
    @rule(command=st.sampled_from((RecordAccess.report_all(), RecordAccess.count_all(), RecordAccess.abort())))
    def ask(self, command: RecordAccess) -> None:
        try:
            self.meter.write(uuids.RECORD_ACCESS, bytes(command), wall=WALL)
        except AttError:
            assert command.op_code != OpCode.ABORT_OPERATION, "an abort is always heard"

    @precondition(lambda self: self.is_connected)
    @rule()
    def take(self) -> None:
        action = self.meter.next_action()
        if not isinstance(action, Indicate):
            assert action is None or isinstance(action, Notify)
            return
        assert self.pending is None, "one indication at a time"
        self.pending = action
        if action.then_drops:
            self.disconnect()

    @precondition(lambda self: self.pending is not None)
    @rule()
    def confirm(self) -> None:
        assert self.pending is not None
        self.meter.on_confirmed()
        if self.pending.characteristic == uuids.PLX_SPOT_CHECK:
            self.taken.add(self.pending.value)
        self.pending = None

    @precondition(lambda self: self.is_connected)
    @rule()
    def disconnect(self) -> None:
        self.meter.on_disconnected()
        self.is_connected, self.pending = False, None

    @invariant()
    def every_check_is_still_kept_or_was_confirmed(self) -> None:
        assert len({*self.meter.records, *self.meter.stored} | self.taken) == self.checks

    @invariant()
    def what_nobody_has_taken_is_advertised(self) -> None:
        kept = {*self.meter.records, *self.meter.stored}
        assert self.meter.is_advertising or kept <= self.taken


TestOximeterAndCollector = OximeterAndCollector.TestCase


@given(
    kind=st.sampled_from(("weight", "temperature")),
    steps=st.lists(st.sampled_from(("measure", "connect", "take", "confirm", "disconnect")), max_size=40),
)
def test_a_record_is_confirmed_once_or_still_kept(kind: str, steps: list[str]) -> None:
    meter = a_meter(kind, faults={"drops_after_indication": 1})
    measured, confirmed, pending = 0, 0, False
    for step in steps:
        match step:
            case "measure":
                tell(meter, **ONE_OF_EACH[kind])
                measured += 1
            case "connect" if not pending:
                listen_to(meter, uuids.WEIGHT_MEASUREMENT, uuids.TEMPERATURE_MEASUREMENT)
            case "take" if isinstance(action := meter.next_action(), Indicate):
                pending = not action.then_drops
                if action.then_drops:
                    meter.on_disconnected()
            case "confirm" if pending:
                meter.on_confirmed()
                confirmed, pending = confirmed + 1, False
            case "disconnect":
                meter.on_disconnected()
                pending = False
    assert confirmed + len(meter.records) == measured  # type: ignore[attr-defined]


LIKELY = st.builds(lambda op, rest: bytes((op,)) + rest, st.integers(0, 9), st.binary(max_size=4))


@given(commands=st.lists(st.one_of(LIKELY, st.binary(max_size=8)), max_size=6))
def test_an_oximeter_gives_every_command_one_answer_or_an_att_error(commands: list[bytes]) -> None:
    meter = a_meter("oxygen_saturation")
    tell(meter, **ONE_OF_EACH["oxygen_saturation"])
    listen_to(meter, uuids.PLX_SPOT_CHECK, uuids.RECORD_ACCESS)
    for command in commands:
        try:
            meter.write(uuids.RECORD_ACCESS, command, wall=WALL)
        except AttError:
            assert meter.next_action() is None
            continue
        answers = [raw for name, raw in all_said(meter) if name == uuids.RECORD_ACCESS]
        assert len(answers) == 1
        answer = RecordAccess.from_bytes(bytes.fromhex(answers[0]))
        assert answer.request_op_code in (command[0], None)


@given(commands=st.lists(st.one_of(LIKELY, st.binary(max_size=6)), max_size=6))
def test_a_shared_scale_gives_every_command_one_answer_or_an_att_error(commands: list[bytes]) -> None:
    meter = a_meter("weight", users=[{"index": 1, "consent_code": 1234}])
    listen_to(meter, uuids.WEIGHT_MEASUREMENT, uuids.USER_CONTROL)
    for command in commands:
        try:
            meter.write(uuids.USER_CONTROL, command, wall=WALL)
        except AttError:
            assert meter.next_action() is None
            continue
        ((name, raw),) = all_said(meter)
        assert name == uuids.USER_CONTROL
        assert UserControl.from_bytes(bytes.fromhex(raw)).request_op_code == command[0]
