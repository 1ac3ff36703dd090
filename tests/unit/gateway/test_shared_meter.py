"""Meters that keep their users apart: whose records are asked for, and what becomes of each user."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.firmware_sims.told import tell
from unit.gateway.joined import Home
from unit.gateway.samples import METER, TestClock
from unit.gateway.scripted_meter import Told

from firmware_sims.happenings import firmware_of
from firmware_sims.settings import Meter
from gateway.new_user import make_user
from gateway.sessions.commands import Write
from gateway.sessions.conversation import take_late
from gateway.sessions.shared_meter import NOBODY, Opened, User, Users
from gateway.user_codes import FILE, UserCodes
from vitals.errors import MalformedError
from vitals.gatt.link import Disconnected, LinkError, Notified
from vitals.gatt.user_data import OpCode, UserControl
from vitals.gatt.weight_scale import WeightMeasurement
from vitals.reading import GUEST, Weight

ANNA, BORIS = User(index=1, code=1234), User(index=2, code=77)
BOTH = Users(known=(ANNA, BORIS))
WEIGHT, CONTROL = "2a9d", "2a9f"


def scale(*users: User, **settings: object) -> Home:
    codes = [{"index": user.index, "consent_code": user.code} for user in users]
    return Home(firmware_of(_meter(users=codes, **settings)))


def _meter(**settings: object) -> Meter:
    return msgspec.convert({"name": "ws", "kind": "weight", "index": 1, **settings}, Meter)


def weights(home: Home) -> list[tuple[int | None, float | None]]:
    return [(each.user_slot, each.measurement.weight_kg) for each in home.kept if isinstance(each.measurement, Weight)]


# -- with the meter's own firmware -------------------------------------------------------------------------------------


def test_each_user_is_opened_in_turn_and_every_weight_is_its_own_persons() -> None:
    home = scale(ANNA, BORIS)
    for user, kilos in ((2, 83.4), (1, 61.2), (2, 83.2)):
        tell(home.meter, weight_kg=kilos, user_slot=user)
    findings = home.session(users=BOTH)
    assert sorted(weights(home), key=str) == [(1, 61.2), (2, 83.2), (2, 83.4)]
    assert findings.users.told() == {"1": "opened", "2": "opened"}


def test_a_wrong_code_opens_nobody_and_the_others_are_read_all_the_same() -> None:
    home = scale(ANNA, BORIS)
    tell(home.meter, weight_kg=83.4, user_slot=2)
    tell(home.meter, weight_kg=61.2, user_slot=1)
    findings = home.session(users=Users(known=(User(index=1, code=4321), BORIS)))
    assert weights(home) == [(2, 83.4)]
    assert findings.users.told() == {"1": "wrong code", "2": "opened"}
    assert home.session(users=Users(known=(ANNA,))).users.told() == {"1": "opened"}
    assert weights(home) == [(2, 83.4), (1, 61.2)]


def test_a_meter_whose_users_nobody_has_told_us_keeps_everything_and_says_that_it_asks() -> None:
    home = scale(ANNA)
    tell(home.meter, weight_kg=61.2, user_slot=1)
    findings = home.session()
    assert (weights(home), findings.users.is_asking, findings.users.told()) == ([], True, None)
    assert not [each for each in home.commands if isinstance(each, Write) and each.characteristic == CONTROL]
    home.session(users=BOTH)
    assert weights(home) == [(1, 61.2)]


def test_a_scale_without_users_is_asked_for_none() -> None:
    home = Home(firmware_of(_meter()))
    tell(home.meter, weight_kg=61.2)
    findings = home.session(users=BOTH)
    assert (weights(home), findings.users.told(), findings.users.is_asking) == ([(None, 61.2)], None, False)


def test_a_new_user_gets_a_number_and_is_opened_at_once() -> None:
    home = scale(ANNA)
    findings = home.session(users=Users(new=9876))
    assert (findings.users.registered, findings.users.told()) == (2, {"2": "opened", "new": "opened"})
    tell(home.meter, weight_kg=55.0, user_slot=2)
    home.session(users=Users(known=(User(index=2, code=9876),)))
    assert weights(home) == [(2, 55.0)]


def test_a_full_scale_takes_no_new_user_and_says_so() -> None:
    home = scale(*(User(index=index, code=index) for index in range(1, 9)))
    findings = home.session(users=Users(new=9876))
    assert (findings.users.registered, findings.users.told()) == (None, {"new": "no room for a new user"})


@pytest.mark.parametrize("users", [NOBODY, BOTH, Users(known=(User(index=1, code=1),), new=5)])
def test_nobody_is_ever_deleted_and_nobody_is_registered_unasked(users: Users) -> None:
    home = scale(ANNA)
    tell(home.meter, weight_kg=61.2, user_slot=1)
    home.session(users=users)
    asked = [each.value[0] for each in home.commands if isinstance(each, Write) and each.characteristic == CONTROL]
    assert set(asked) <= {OpCode.CONSENT, OpCode.REGISTER_NEW_USER}
    assert (OpCode.REGISTER_NEW_USER in asked) is (users.new is not None)


def test_a_link_that_is_cut_at_any_step_loses_and_doubles_nothing() -> None:
    def home_of_two() -> Home:
        home = scale(ANNA, BORIS)
        tell(home.meter, weight_kg=83.4, user_slot=2)
        tell(home.meter, weight_kg=61.2, user_slot=1)
        return home

    whole = home_of_two()
    whole.session(users=BOTH)
    for left in range(len(whole.commands)):
        home = home_of_two()
        home.loses_link_before = lambda _, home=home, left=left: len(home.commands) > left  # type: ignore[misc]
        with suppress(LinkError):
            home.session(users=BOTH)
        home.loses_link_before = lambda _: False
        home.session(users=BOTH)
        assert sorted(weights(home), key=str) == [(1, 61.2), (2, 83.4)], left


# -- with a meter that is played ---------------------------------------------------------------------------------------


def said(op: int, value: int, rest: bytes = b"") -> tuple[str, str]:
    return CONTROL, bytes(UserControl.response(op, value, rest)).hex()


def weighed(counts: int, user: int | None = None) -> tuple[str, str]:
    return WEIGHT, bytes(WeightMeasurement(weight=counts, unit="kg", user_id=user)).hex()


def asks(user: User) -> str:
    return bytes(UserControl.consent(user.index, user.code)).hex()


def test_a_weight_without_a_user_is_of_the_one_who_is_open_and_a_guests_stays_a_guests() -> None:
    meter = Told(answers={asks(ANNA): [said(2, 1), weighed(12_000), weighed(14_000, GUEST)]})
    meter.session(WEIGHT, CONTROL, users=Users(known=(ANNA,)))
    assert [each.user_slot for each in meter.kept] == [1, GUEST]


def test_what_comes_while_the_next_user_is_asked_for_is_of_the_one_before() -> None:
    meter = Told(answers={asks(ANNA): [said(2, 1)], asks(BORIS): [weighed(12_000), said(2, 1), weighed(16_000)]})
    meter.session(WEIGHT, CONTROL, users=BOTH)
    assert [(each.user_slot, each.raw[1:3].hex()) for each in meter.kept] == [(1, "e02e"), (2, "803e")]


def test_who_stands_on_a_scale_that_names_nobody_is_known_only_where_nobody_else_is() -> None:
    for users, slot in ((Users(known=(ANNA,)), 1), (BOTH, None)):
        meter = Told(answers={asks(ANNA): [said(2, 1), weighed(12_000)], asks(BORIS): [said(2, 1)]})
        meter.session(WEIGHT, CONTROL, users=users)
        assert [each.user_slot for each in meter.kept] == [slot]


def test_one_weighing_that_is_shown_to_two_users_is_one_reading() -> None:
    meter = Told(answers={user: [said(2, 1), weighed(12_000)] for user in (asks(ANNA), asks(BORIS))})
    meter.session(WEIGHT, CONTROL, users=BOTH)
    assert [each.user_slot for each in meter.kept] == [None]
    assert [(each.reason, each.raw) for each in meter.set_aside] == [("whose", meter.kept[0].raw)]


def test_what_comes_before_anybody_is_open_is_nobodys() -> None:
    meter = Told(answers={asks(ANNA): [weighed(12_000), said(2, 1)]})
    meter.session(WEIGHT, CONTROL, users=Users(known=(ANNA,)))
    assert [each.user_slot for each in meter.kept] == [None]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([said(2, 2)], "not supported"),
        ([said(2, 3)], "invalid parameter"),
        ([said(2, 4)], "failed"),
        ([said(2, 5)], "wrong code"),
        ([said(2, 9)], "refused"),
        ([], "not answered"),
        ([(CONTROL, "20")], "unreadable"),
        ([said(4, 1, b"\1")], "not answered"),
    ],
    ids=[
        "not supported",
        "invalid parameter",
        "failed",
        "not authorised",
        "reserved",
        "silent",
        "cut short",
        "of another",
    ],
)
def test_each_answer_ends_as_what_it_is_and_what_is_nobodys_is_still_listened_for(
    answer: list[tuple[str, str]], told: str
) -> None:
    meter = Told(answers={asks(ANNA): [*answer]})
    findings = meter.session(WEIGHT, CONTROL, users=Users(known=(ANNA,)))
    assert findings.users.told() == {"1": told}
    assert meter.asked[-1] == f"subscribe {WEIGHT}"
    assert [each.raw.hex() for each in meter.set_aside] == (["20"] if told == "unreadable" else [])


def test_after_a_silence_nobody_else_is_asked_for_a_late_yes_would_be_the_next_ones() -> None:
    meter = Told(answers={asks(ANNA): [None], asks(BORIS): [said(2, 1), weighed(16_000)]})  # type: ignore[list-item]
    findings = meter.session(WEIGHT, CONTROL, users=BOTH)
    assert findings.users.told() == {"1": "not answered"}
    assert f"write {CONTROL} {asks(BORIS)}" not in meter.asked
    assert meter.kept == []


def test_what_comes_after_a_silence_is_nobodys_though_somebody_was_open_before() -> None:
    meter = Told(answers={asks(ANNA): [said(2, 1), None], asks(BORIS): [None, weighed(16_000)]})  # type: ignore[list-item]
    findings = meter.session(WEIGHT, CONTROL, users=BOTH)
    assert findings.users.told() == {"1": "opened", "2": "not answered"}
    assert findings.users.current is None


def test_the_next_visit_begins_with_who_had_no_turn_and_ends_with_who_was_met_by_silence() -> None:
    three = Users(known=(ANNA, BORIS, User(index=3, code=3)))
    for lately, order in (
        ({}, [1, 2, 3]),
        ({"1": "not answered"}, [2, 3, 1]),
        ({"1": "opened", "3": "opened"}, [2, 1, 3]),
        ({"1": "opened", "2": "wrong code", "3": "opened", "new": "opened"}, [1, 2, 3]),
    ):
        assert [user.index for user in three.in_order(lately).known] == order


def test_a_silent_user_starves_the_others_for_one_visit_only() -> None:
    home = scale(ANNA, BORIS, faults={"is_silent_on_wrong_code": True})
    tell(home.meter, weight_kg=83.4, user_slot=2)
    users = Users(known=(User(index=1, code=9), BORIS))
    first = home.session(users=users).users.told()
    assert (first, weights(home)) == ({"1": "not answered"}, [])
    second = home.session(users=users.in_order(first or {})).users.told()
    assert (second, weights(home)) == ({"2": "opened", "1": "not answered"}, [(2, 83.4)])


def test_a_meter_that_takes_every_command_and_answers_none_is_listened_to_all_the_same() -> None:
    home = scale(ANNA, BORIS, faults={"control_point_is_mute": True})
    findings = home.session(users=Users(known=BOTH.known, new=5))
    assert (findings.users.told(), findings.users.registered) == ({"new": "not answered"}, None)


def test_of_a_second_user_no_record_is_taken_for_one_of_just_now() -> None:
    home = scale(ANNA, BORIS, clock="absent")
    tell(home.meter, weight_kg=61.2, user_slot=1)
    tell(home.meter, weight_kg=83.4, user_slot=2)
    home.session(users=BOTH)
    assert [(each.user_slot, each.evidence.is_live) for each in home.kept] == [(1, True), (2, False)]


def test_a_weight_that_comes_while_we_leave_is_of_who_is_open() -> None:
    meter = Told(answers={asks(ANNA): [said(2, 1)]})
    findings = meter.session(WEIGHT, CONTROL, users=Users(known=(ANNA,)))
    name, raw = weighed(12_000)
    meter.play(take_late(Notified(characteristic=name, value=bytes.fromhex(raw)), findings, received_at=meter.now))
    assert [each.user_slot for each in meter.kept] == [1]


def test_a_model_with_users_keeps_them_apart_before_it_has_any() -> None:
    home = Home(firmware_of(_meter(model="Beurer BF720")))
    assert home.session().users.is_asking
    assert home.session(users=Users(new=42)).users.told() == {"1": "opened", "new": "opened"}


def test_a_cuffs_inflation_without_a_user_is_of_who_is_open_too() -> None:
    raw = "02780050005d00ea070b1507051e"
    meter = Told(answers={asks(ANNA): [said(2, 1), ("2a35", raw)]})
    meter.session("2a35", CONTROL, users=Users(known=(ANNA,)))
    assert [each.user_slot for each in meter.kept] == [1]


def test_a_meter_that_refuses_the_very_question_is_listened_to_all_the_same() -> None:
    meter = Told(refusals={asks(ANNA): [0x03]})
    findings = meter.session(WEIGHT, CONTROL, users=Users(known=(ANNA,)))
    assert findings.users.told() == {"1": "refused"}
    assert meter.asked[-1] == f"subscribe {WEIGHT}"


def test_a_meter_that_goes_when_it_is_asked_has_failed() -> None:
    meter = Told(answers={asks(ANNA): [Disconnected()]})  # type: ignore[list-item]
    with pytest.raises(LinkError, match="asked for a user"):
        meter.session(WEIGHT, CONTROL, users=Users(known=(ANNA,)))


def test_a_meter_that_goes_when_the_second_is_asked_for_has_only_ended_its_visit() -> None:
    meter = Told(answers={asks(ANNA): [said(2, 1), weighed(12_000), None], asks(BORIS): [Disconnected()]})  # type: ignore[list-item]
    findings = meter.session(WEIGHT, CONTROL, users=BOTH)
    assert (len(meter.kept), findings.users.told()) == (1, {"1": "opened"})


def test_no_code_shows_in_what_is_printed() -> None:
    assert "1234" not in repr(Users(known=(ANNA,), new=1234))


# -- the file and the command ------------------------------------------------------------------------------------------


def test_users_are_kept_for_the_services_user_alone_and_found_by_meter(tmp_path: Path) -> None:
    codes = UserCodes(tmp_path)
    codes.store(METER.lower(), 2, "00 77")
    codes.store(METER, 1, "1234")
    assert codes.of(METER) == BOTH
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    codes.store(METER, 2, None)
    assert codes.of(METER) == Users(known=(ANNA,))
    codes.store(METER, 1, None)
    assert json.loads((tmp_path / FILE).read_bytes()) == {}


IN_BOOT = {"boot_id": "b", "since_boot_s": 100.0}


def test_a_wish_for_a_user_is_taken_up_once_and_its_user_kept(tmp_path: Path) -> None:
    codes = UserCodes(tmp_path)
    codes.wish_for_user(METER, **IN_BOOT, within_s=60)
    code = codes.take_up_wish(METER, **IN_BOOT)
    assert code is not None
    assert codes.take_up_wish(METER, **IN_BOOT) is None
    codes.note_wish(METER, code, Opened.YES, 3)
    assert codes.of(METER) == Users(known=(User(index=3, code=code),))
    assert (wish := codes.end_wish(METER))
    assert (wish.state, wish.index) == ("made", 3)
    assert codes.wish_of(METER) is None


@pytest.mark.parametrize(
    ("outcome", "state", "is_taken_up_again"),
    [(None, "wanted", True), (Opened.UNANSWERED, "told", False), (Opened.FULL, "refused", False)],
)
def test_a_meter_that_may_have_made_a_user_is_not_told_again(
    tmp_path: Path, outcome: Opened | None, state: str, is_taken_up_again: bool
) -> None:
    codes = UserCodes(tmp_path)
    codes.wish_for_user(METER, **IN_BOOT, within_s=60)
    code = codes.take_up_wish(METER, **IN_BOOT)
    assert code is not None
    codes.note_wish(METER, code, outcome, None)
    assert (wish := codes.wish_of(METER))
    assert wish.state == state
    assert (codes.take_up_wish(METER, **IN_BOOT) is not None) is is_taken_up_again


@pytest.mark.parametrize("later", [{"boot_id": "b", "since_boot_s": 160.0}, {"boot_id": "c", "since_boot_s": 1.0}])
def test_a_wish_ends_with_its_time_and_with_the_boot(tmp_path: Path, later: dict[str, Any]) -> None:
    codes = UserCodes(tmp_path)
    codes.wish_for_user(METER, **IN_BOOT, within_s=60)
    assert codes.take_up_wish(METER, **later) is None


def test_a_user_who_was_made_after_nobody_waited_any_more_is_kept(tmp_path: Path) -> None:
    codes = UserCodes(tmp_path)
    codes.wish_for_user(METER, **IN_BOOT, within_s=60)
    code = codes.take_up_wish(METER, **IN_BOOT)
    assert code is not None
    codes.end_wish(METER)
    codes.wish_for_user(METER, **IN_BOOT, within_s=60)
    codes.note_wish(METER, code, Opened.YES, 4)
    assert codes.of(METER) == Users(known=(User(index=4, code=code),))
    assert (wish := codes.wish_of(METER))
    assert wish.state == "wanted"


def test_two_who_write_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda nth: UserCodes(tmp_path).store(METER, nth, f"{nth:04d}"), range(16)))
    assert len(UserCodes(tmp_path).of(METER).known) == 16


def test_the_clinics_codes_count_where_the_home_has_none(tmp_path: Path) -> None:
    codes = UserCodes(tmp_path)
    codes.store(METER, 2, "0077")
    codes.take_from_clinic({METER.lower(): {"1": "1234", "2": "9999"}})
    assert codes.of(METER) == BOTH
    codes.take_from_clinic({})
    assert codes.of(METER) == Users(known=(BORIS,))


@pytest.mark.parametrize(("index", "code"), [(255, "1234"), (-1, "1234"), (1, "123"), (1, "12345"), (1, "１２３４")])
def test_a_number_or_a_code_that_cannot_be_is_refused(tmp_path: Path, index: int, code: str) -> None:
    with pytest.raises(MalformedError):
        UserCodes(tmp_path).store(METER, index, code)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("content", [b"{", b'{"F0": {}}', b'{"F0:00:00:10:00:01": {"users": {"1": 10000}}}'])
def test_a_file_that_is_not_ours_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(MalformedError, match=FILE):
        UserCodes(tmp_path).of(METER)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Opened.YES, "has made user 3"),
        (Opened.FULL, "want of room"),
        (Opened.NOT_SUPPORTED, "over the radio"),
        (Opened.UNANSWERED, f"homevigil gateway user {METER} NUMBER"),
        (None, "was not heard"),
    ],
)
def test_a_person_who_waits_for_a_new_user_hears_what_became_of_it(
    tmp_path: Path, outcome: Opened | None, words: str
) -> None:
    clock, heard, service = TestClock(), list[str](), UserCodes(tmp_path)

    def say(text: str) -> None:
        heard.append(text)
        if len(heard) == 1:  # while the person waits, the service has its session
            code = service.take_up_wish(METER, boot_id=clock.boot, since_boot_s=clock.boot_s)
            assert code is not None
            service.note_wish(METER, code, outcome, 3 if outcome is Opened.YES else None)
            clock.tick(60 if outcome in (None, Opened.UNANSWERED) else 0)

    assert make_user(tmp_path, METER, say=say, within_s=30, clock=clock.clock) is (outcome is Opened.YES)
    assert words in heard[-1]
    assert service.wish_of(METER) is None


def test_users_are_told_from_the_command_line(tmp_path: Path) -> None:
    def says(*words: str) -> int:
        command = [sys.executable, "-m", "gateway", "user", METER, *words, "--path", str(tmp_path / "outbox.sqlite3")]
        return subprocess.run(command, capture_output=True, text=True, check=False).returncode

    assert (says("1", "1234"), says("2", "0077"), UserCodes(tmp_path).of(METER)) == (0, 0, BOTH)
    assert (says("2", "--remove"), UserCodes(tmp_path).of(METER)) == (0, Users(known=(ANNA,)))
    assert says("--register", "--within", "1") == 1, "no gateway runs here"
    assert UserCodes(tmp_path).wish_of(METER) is None
    assert [says(), says("1"), says("--remove"), says("1", "1234", "--register"), says("1", "1234", "--remove")] == [
        2
    ] * 5
    assert says("1", "12") == 1
