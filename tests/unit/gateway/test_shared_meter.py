"""Meters that keep their users apart: whose records are asked for, and what becomes of each user."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from unit.firmware_sims.told import tell
from unit.gateway.joined import Home
from unit.gateway.samples import METER
from unit.gateway.scripted_meter import Told

from firmware_sims.happenings import firmware_of
from firmware_sims.settings import Meter
from gateway.sessions.commands import Write
from gateway.sessions.shared_meter import NOBODY, User, Users
from gateway.user_codes import FILE, UserCodes
from vitals.errors import MalformedError
from vitals.gatt.link import Disconnected, LinkError
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


def test_what_comes_before_anybody_is_open_is_nobodys() -> None:
    meter = Told(answers={asks(ANNA): [weighed(12_000), said(2, 1)]})
    meter.session(WEIGHT, CONTROL, users=Users(known=(ANNA,)))
    assert [each.user_slot for each in meter.kept] == [None]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([said(2, 2)], "refused"),
        ([said(2, 3)], "refused"),
        ([said(2, 4)], "refused"),
        ([said(2, 5)], "wrong code"),
        ([said(2, 9)], "refused"),
        ([], "not answered"),
        ([(CONTROL, "20")], "not answered"),
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


def test_a_meter_that_refuses_the_very_question_is_listened_to_all_the_same() -> None:
    meter = Told(refusals={asks(ANNA): [0x03]})
    findings = meter.session(WEIGHT, CONTROL, users=Users(known=(ANNA,)))
    assert findings.users.told() == {"1": "not answered"}
    assert meter.asked[-1] == f"subscribe {WEIGHT}"


def test_a_meter_that_goes_when_it_is_asked_has_failed() -> None:
    meter = Told(answers={asks(ANNA): [Disconnected()]})  # type: ignore[list-item]
    with pytest.raises(LinkError, match="asked for a user"):
        meter.session(WEIGHT, CONTROL, users=Users(known=(ANNA,)))


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


def test_a_new_users_code_is_made_up_once_and_stays_until_the_number_is_known(tmp_path: Path) -> None:
    codes = UserCodes(tmp_path)
    codes.register(METER)
    new = codes.of(METER).new
    assert new is not None
    codes.register(METER)
    assert codes.of(METER).new == new
    codes.registered(METER, 3)
    codes.registered(METER, 4)
    assert codes.of(METER) == Users(known=(User(index=3, code=new),))


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


def test_users_are_told_from_the_command_line(tmp_path: Path) -> None:
    def says(*words: str) -> int:
        command = [sys.executable, "-m", "gateway", "user", METER, *words, "--path", str(tmp_path / "outbox.sqlite3")]
        return subprocess.run(command, capture_output=True, text=True, check=False).returncode

    assert (says("1", "1234"), says("2", "0077"), UserCodes(tmp_path).of(METER)) == (0, 0, BOTH)
    assert (says("2", "--remove"), UserCodes(tmp_path).of(METER)) == (0, Users(known=(ANNA,)))
    assert says("--register") == 0
    assert UserCodes(tmp_path).of(METER).new is not None
    assert [says(), says("1"), says("--remove"), says("1", "1234", "--register"), says("1", "1234", "--remove")] == [
        2
    ] * 5
    assert says("1", "12") == 1
