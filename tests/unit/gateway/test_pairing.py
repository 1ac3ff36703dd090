"""Codes of meters on disk and on the command line, and the policy that decides who may pair."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.pairing_codes import FILE, MAX_METERS, PairingCodes, meter_address, passkey
from gateway.pairing_policy import TRIES, Pairings
from vitals.errors import MalformedError

METER, PATH = "C4:64:E3:00:00:01", "/org/bluez/hci0/dev_C4_64_E3_00_00_01"


@pytest.mark.parametrize("text", ["c4-64-e3-00-00-01", " C4:64:E3:00:00:01 "])
def test_a_meter_is_named_as_people_write_it(text: str) -> None:
    assert meter_address(text) == METER


@pytest.mark.parametrize("text", ["", "C4:64:E3:00:00", "C4:64:E3:00:00:0G", "C4:64:E3:00:00:01:02", "../../x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="write it like"):
        meter_address(text)


@pytest.mark.parametrize(("text", "code"), [("012345", "012345"), ("12 34 56", "123456"), ("123-456", "123456")])
def test_a_code_is_read_as_it_is_printed(text: str, code: str) -> None:
    assert passkey(text) == code


@pytest.mark.parametrize("text", ["", "12345", "1234567", "12345a", "１２３４５６"])
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="six digits"):
        passkey(text)


def test_a_code_is_kept_for_the_service_alone_and_can_be_forgotten(tmp_path: Path) -> None:
    codes = PairingCodes(tmp_path)
    codes.store(METER.lower(), "012345")
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert PairingCodes(tmp_path).code_for(METER) == 12345
    codes.store(METER, None)
    assert codes.code_for(METER) is None


def test_the_code_from_the_home_counts_before_the_one_from_the_clinic(tmp_path: Path) -> None:
    codes = PairingCodes(tmp_path)
    codes.take_from_clinic({METER.lower(): "111111"})
    assert codes.code_for(METER) == 111_111
    codes.store(METER, "222222")
    assert codes.code_for(METER) == 222_222


@pytest.mark.parametrize("content", [b"", b"[]", b'{"x": "123456"}', b'{"C4:64:E3:00:00:01": 123456}', b"\xff"])
def test_a_file_that_is_not_ours_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(MalformedError, match=FILE):
        PairingCodes(tmp_path).code_for(METER)


def test_there_is_room_for_so_many_codes(tmp_path: Path) -> None:
    codes = PairingCodes(tmp_path)
    for nth in range(MAX_METERS):
        codes.store(f"C4:64:E3:00:00:{nth:02X}", "123456")
    with pytest.raises(MalformedError, match="remove one"):
        codes.store("C4:64:E3:00:01:00", "123456")


def test_only_a_meter_that_we_connect_to_may_pair_and_only_meanwhile() -> None:
    pairings = Pairings()
    assert pairings.meter_at(PATH) is None
    with pairings.expected(PATH, METER):
        assert pairings.meter_at(PATH) == METER
        assert pairings.meter_at(PATH + "_2") is None
    assert pairings.meter_at(PATH) is None
    assert pairings.strangers_refused == 3


def test_a_code_that_fails_is_given_a_few_times_and_another_one_from_the_start() -> None:
    pairings = Pairings()
    given = []
    for _ in range(TRIES + 2):
        with pairings.expected(PATH, METER):
            given.append(pairings.may_give(METER, 111_111))
            pairings.ended(METER, is_paired=False, is_authentication=True)
    assert given == [True] * TRIES + [False] * 2
    assert pairings.may_give(METER, 222_222)


def test_a_code_that_is_asked_for_twice_in_one_session_has_failed_once() -> None:
    pairings = Pairings()
    assert [pairings.may_give(METER, 111_111) for _ in range(TRIES + 1)] == [True] * TRIES + [False]


def test_a_link_that_is_lost_while_pairing_is_not_the_codes_fault() -> None:
    pairings = Pairings()
    for _ in range(20):
        assert pairings.may_give(METER, 111_111)
        pairings.ended(METER, is_paired=False, is_authentication=False)


def test_what_is_told_of_pairings_ends_when_it_is_over() -> None:
    pairings = Pairings()
    with pairings.expected(PATH, METER):
        pairings.showing(METER, 7)
        assert pairings.describe()[METER] == {"type_into_meter": "000007"}
    assert pairings.describe() == {}
    pairings.refused(METER)
    assert pairings.wants_code(METER)
    pairings.ended(METER, is_paired=True, is_authentication=False)
    assert pairings.describe() == {}


def _gateway(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "gateway", *words], capture_output=True, text=True, check=False)


def test_a_code_is_stored_from_the_command_line(tmp_path: Path) -> None:
    outbox = ("--path", str(tmp_path / "outbox.sqlite3"))
    done = _gateway("pairing-code", METER.lower(), "123 456", *outbox)
    assert done.returncode == 0, done.stderr
    assert PairingCodes(tmp_path).code_for(METER) == 123_456
    assert _gateway("pairing-code", METER, "--remove", *outbox).returncode == 0
    assert PairingCodes(tmp_path).code_for(METER) is None
    assert _gateway("pairing-code", METER, *outbox).returncode == 2
    assert _gateway("pairing-code", METER, "12", *outbox).returncode == 1


def test_helping_where_no_gateway_runs_says_so(tmp_path: Path) -> None:
    done = _gateway("pair", METER, "--path", str(tmp_path / "outbox.sqlite3"))
    assert done.returncode == 1
    assert "is it running" in done.stderr
