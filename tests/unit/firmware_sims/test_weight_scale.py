"""The scale's firmware by itself: what it sends, and to whom."""

from datetime import datetime

import pytest
from unit.firmware_sims.told import WALL, a_meter, all_said, listen_to, tell

from firmware_sims.firmware import AttCode, AttError, Firmware, HangUp
from vitals.gatt import uuids
from vitals.gatt.user_data import OpCode, ResponseValue, UserControl, UserIndex
from vitals.gatt.weight_scale import WeightMeasurement, WeightScaleFeature

READING = uuids.WEIGHT_MEASUREMENT
ANNA, BORIS = {"index": 1, "consent_code": 1234}, {"index": 2, "consent_code": 77}


def ask(scale: Firmware, command: UserControl | bytes) -> UserControl:
    """The scale's answer to a command."""
    scale.write(uuids.USER_CONTROL, bytes(command), wall=WALL)
    ((characteristic, answer),) = all_said(scale)[:1]
    assert characteristic == uuids.USER_CONTROL
    return UserControl.from_bytes(bytes.fromhex(answer))


def a_shared_scale() -> Firmware:
    scale = a_meter("weight", users=[ANNA, BORIS])
    tell(scale, weight_kg=61.2, user_slot=1)
    tell(scale, weight_kg=83.4, user_slot=2)
    tell(scale, weight_kg=12.5)
    listen_to(scale, READING, uuids.USER_CONTROL)
    return scale


def weights_given(scale: Firmware) -> list[float | None]:
    frames = [WeightMeasurement.from_bytes(bytes.fromhex(raw)) for name, raw in all_said(scale) if name == READING]
    return [frame.to_measurement().weight_kg for frame in frames]


def test_its_frame_is_the_one_of_a_beurer_bf788() -> None:
    """As captured: KristianP26/ble-scale-sync#229."""
    scale = a_meter("weight")
    tell(scale, wall=datetime(2026, 7, 14, 23, 41, 32), weight_kg=117.92, height_m=1.92, user_slot=1)  # noqa: DTZ001
    listen_to(scale, READING)
    assert all_said(scale) == [(READING, "0E205CEA07070E1729200140018007")]


def test_its_frame_in_pounds_is_the_one_of_an_ad_scale() -> None:
    """As captured: 56.8 lb; a question about Flutter, 2021."""
    scale = a_meter("weight", weight_unit="lb", clock="absent")
    tell(scale, weight_kg=25.764046616)
    listen_to(scale, READING)
    assert all_said(scale) == [(READING, "013016")]


def test_in_pounds_the_height_is_in_inches() -> None:
    scale = a_meter("weight", weight_unit="lb", clock="absent")
    tell(scale, weight_kg=72.5, height_m=1.73)
    (record,) = scale.records  # type: ignore[attr-defined]
    frame = WeightMeasurement.from_bytes(record)
    assert (frame.weight, frame.height, frame.bmi) == (15984, 681, 242)


def test_a_scale_that_fails_says_that_it_could_not_weigh() -> None:
    """WSS 1.0.0: 0xFFFF, which is no 327.675 kg."""
    scale = a_meter("weight", faults={"fails": True})
    tell(scale, wall=datetime(2026, 11, 21, 7, 30), weight_kg=72.5, height_m=1.73, user_slot=1)  # noqa: DTZ001
    listen_to(scale, READING)
    assert all_said(scale) == [(READING, "06FFFFEA070B15071E0001")]


def test_it_says_what_it_can() -> None:
    feature = WeightScaleFeature.from_bytes(a_meter("weight").read(uuids.WEIGHT_SCALE_FEATURE, wall=WALL))
    assert feature.has_time_stamp
    assert (str(feature.weight_resolution_kg), str(feature.height_resolution_m)) == ("0.005", "0.001")
    without = WeightScaleFeature.from_bytes(
        a_meter("weight", clock="absent").read(uuids.WEIGHT_SCALE_FEATURE, wall=WALL)
    )
    assert not without.has_time_stamp


def test_a_scale_of_nobody_in_particular_has_no_user_data() -> None:
    scale = a_meter("weight")
    assert uuids.USER_CONTROL not in {c.uuid for c in scale.characteristics}
    with pytest.raises(AttError):
        scale.write(uuids.USER_CONTROL, bytes(UserControl.list_users()), wall=WALL)


def test_nobody_gets_a_record_without_consent() -> None:
    scale = a_shared_scale()
    assert all_said(scale) == []
    assert scale.is_advertising


def test_after_consent_a_user_gets_their_own_records_and_nobodys() -> None:
    scale = a_shared_scale()
    scale.write(uuids.USER_CONTROL, bytes(UserControl.consent(1, 1234)), wall=WALL)
    answer, *_ = said = all_said(scale)
    assert answer == (uuids.USER_CONTROL, "200201")
    frames = [WeightMeasurement.from_bytes(bytes.fromhex(raw)) for _, raw in said[1:]]
    assert [(f.to_measurement().weight_kg, f.user_slot) for f in frames] == [(61.2, 1), (12.5, None)]
    assert UserIndex.from_bytes(scale.read(uuids.USER_INDEX, wall=WALL)).user_slot == 1
    assert scale.is_advertising, "Boris has not been served"


def test_a_wrong_code_opens_nothing() -> None:
    scale = a_shared_scale()
    assert ask(scale, UserControl.consent(1, 77)).response_value == ResponseValue.USER_NOT_AUTHORIZED
    assert ask(scale, UserControl.consent(9, 77)).response_value == ResponseValue.USER_NOT_AUTHORIZED
    assert weights_given(scale) == []


def test_a_consent_ends_with_the_link() -> None:
    scale = a_shared_scale()
    ask(scale, UserControl.consent(1, 1234))
    scale.on_disconnected()
    listen_to(scale, READING, uuids.USER_CONTROL)
    assert weights_given(scale) == []
    assert UserIndex.from_bytes(scale.read(uuids.USER_INDEX, wall=WALL)).user_slot is None


def test_a_new_user_gets_the_first_free_index_until_the_scale_is_full() -> None:
    scale = a_shared_scale()
    registered = [ask(scale, UserControl.register(4321)) for _ in range(7)]
    assert [answer.user_index for answer in registered] == [3, 4, 5, 6, 7, 8, None]
    assert registered[-1].response_value == ResponseValue.OPERATION_FAILED
    assert ask(scale, UserControl.list_users()).number_of_users == 8
    assert ask(scale, UserControl.consent(3, 4321)).response_value == ResponseValue.SUCCESS


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("0110FF", ResponseValue.INVALID_PARAMETER),  # 65296 is no code
        ("0201", ResponseValue.INVALID_PARAMETER),
        ("03", ResponseValue.OP_CODE_NOT_SUPPORTED),
        ("0501", ResponseValue.OP_CODE_NOT_SUPPORTED),
        ("99", ResponseValue.OP_CODE_NOT_SUPPORTED),
    ],
)
def test_what_it_cannot_do_it_says(command: str, answer: ResponseValue) -> None:
    said = ask(a_shared_scale(), bytes.fromhex(command))
    assert (said.op_code, said.request_op_code, said.response_value) == (
        OpCode.RESPONSE_CODE,
        int(command[:2], 16),
        answer,
    )


def test_a_command_must_be_listened_to_and_wait_its_turn() -> None:
    scale = a_meter("weight", users=[ANNA])
    scale.on_connected()
    with pytest.raises(AttError) as refused:
        scale.write(uuids.USER_CONTROL, bytes(UserControl.list_users()), wall=WALL)
    assert refused.value.code == AttCode.CCCD_IMPROPERLY_CONFIGURED
    scale.on_subscribed(uuids.USER_CONTROL, is_on=True)
    scale.write(uuids.USER_CONTROL, bytes(UserControl.list_users()), wall=WALL)
    with pytest.raises(AttError) as refused:
        scale.write(uuids.USER_CONTROL, bytes(UserControl.list_users()), wall=WALL)
    assert refused.value.code == AttCode.PROCEDURE_IN_PROGRESS
    with pytest.raises(AttError) as refused:
        scale.write(uuids.USER_CONTROL, b"", wall=WALL)
    assert refused.value.code == AttCode.INVALID_LENGTH


def test_a_guests_record_goes_to_anybody_who_has_consented() -> None:
    scale = a_meter("weight", users=[ANNA])
    tell(scale, weight_kg=70, user_slot=255)
    listen_to(scale, READING, uuids.USER_CONTROL)
    ask(scale, UserControl.consent(1, 1234))
    assert scale.records == ()  # type: ignore[attr-defined]


def test_a_raw_frame_belongs_to_whoever_has_consented() -> None:
    scale = a_meter("weight", users=[ANNA])
    scale.keep(b"\x0e\x78")
    listen_to(scale, READING, uuids.USER_CONTROL)
    ask(scale, UserControl.consent(1, 1234))
    assert scale.records == ()  # type: ignore[attr-defined]


def test_a_scale_that_hangs_up_does_so_after_its_last_record() -> None:
    scale = a_meter("weight", faults={"hangs_up": True})
    tell(scale, weight_kg=61.2)
    tell(scale, weight_kg=61.4)
    listen_to(scale, READING)
    assert len(all_said(scale)) == 2
    scale.on_disconnected()
    tell(scale, weight_kg=61.6)
    listen_to(scale, READING)
    scale.next_action()
    scale.on_confirmed()
    assert isinstance(scale.next_action(), HangUp)
