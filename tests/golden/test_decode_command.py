"""`homevigil decode`: what people who debug meters see, and that no input ends it."""

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from golden.frames import PUBLISHED, REFUSED
from hypothesis import given
from hypothesis import strategies as st

from homevigil import cli, decode
from vitals.errors import MalformedError

FULL = "1E94005C006F00EA070B1507051E4800010400"
SPELLINGS = [
    FULL,
    FULL.lower(),
    f"0x{FULL}",
    "1E 9400 5C00 6F00 EA070B1507051E 4800 01 0400",
    ":".join(FULL[at : at + 2] for at in range(0, len(FULL), 2)),
    "(0x) " + "-".join(FULL[at : at + 2] for at in range(0, len(FULL), 2)),
    ", ".join(f"0x{FULL[at : at + 2]}" for at in range(0, len(FULL), 2)),
]
BLOOD_PRESSURE_KEYS = [
    "kind",
    "systolic_mmhg",
    "diastolic_mmhg",
    "mean_mmhg",
    "pulse_bpm",
    "user_slot",
    "status",
    "status_flags",
    "meter_time",
    "unit_sent",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homevigil.decode", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code and the JSON objects printed."""
    code = decode.main(arguments)
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def fed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: bytes) -> list[dict[str, Any]]:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    code, objects = told(capsys, "--stdin")
    assert code == 0
    return objects


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_bytes_may_be_spelt_as_any_tool_shows_them(capsys: pytest.CaptureFixture[str], spelling: str) -> None:
    code, (measured,) = told(capsys, "2a35", *spelling.split(" "))
    assert code == 0
    assert list(measured) == BLOOD_PRESSURE_KEYS
    assert measured["systolic_mmhg"] == 148.0
    assert measured["status_flags"] == ["irregular_pulse"]


def test_the_command_runs_as_a_module_and_as_a_word_of_homevigil(capsys: pytest.CaptureFixture[str]) -> None:
    ran = run("2a35", FULL)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert cli.main(["decode", "2a35", FULL]) == 0
    assert capsys.readouterr().out == ran.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("2a35", "16FF07"), "frame_length: 3 bytes"),
        (("2a35", ""), "frame_length: 0 bytes"),
        (("2a35", "0178005000"), "frame_length: 5 bytes"),
        (("2a35", "8178005000FF07FF"), "flags: 8 bytes, flags say 7"),
        (("2a35", "16F"), "hex: "),
        (("2a35", "1 6"), "hex: "),
        (("2a35", "zz"), "hex: "),
        (("2a35", "٠٠"), "hex: "),
        (("2a6e", "16"), "characteristic: "),
        (("blood pressure", "16"), "characteristic: "),
    ],
)
def test_what_cannot_be_decoded_is_an_error_that_says_why(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], reason: str
) -> None:
    code, (answer,) = told(capsys, *arguments)
    assert code == 1
    assert list(answer) == ["error"]
    assert answer["error"].startswith(reason)


@pytest.mark.parametrize("arguments", [(), ("2a35",), ("2a35", "16", "--stdin"), ("--nonsense",)])
def test_a_wrong_use_is_explained(arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "usage: homevigil decode" in ran.stderr


def test_lines_are_answered_one_by_one_in_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        f"2a35 {FULL}".encode(),
        b"2a35 16FF07",
        b"",
        b"\xff\xfe\x00 16",
        b"2a6e 16 48",
        b"  0x2A52\t06 00 01 06  ",
        b"2a18 02:2B:00:EA:07:0B:15:07:19:00:7E:B0:12\r",
        b"2a35",
    ]
    objects = fed(monkeypatch, capsys, b"\n".join(lines))
    assert [answer.get("kind", answer.get("error", "")[:12]) for answer in objects] == [
        "blood_pressure",
        "frame_length",
        "characterist",
        "characterist",
        "characterist",
        "record_access",
        "glucose",
        "frame_length",
    ]


def test_every_published_frame_may_be_fed_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [f"{published.characteristic} {published.frame}" for published in PUBLISHED]
    bad = [f"{characteristic} {frame}" for _, characteristic, frame, _ in REFUSED]
    objects = fed(monkeypatch, capsys, "\n".join(good + bad).encode())
    assert ["error" in answer for answer in objects] == [False] * len(good) + [True] * len(bad)


def test_no_line_at_all_is_answered_with_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fed(monkeypatch, capsys, b"") == []


@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=8))
def test_any_lines_are_answered_line_by_line(lines: list[bytes]) -> None:
    for line in lines:
        characteristic, *frame = line.decode("utf-8", "replace").split(maxsplit=1) or [""]
        answer = decode.canonical_or_error(characteristic, " ".join(frame))
        assert json.loads(json.dumps(answer, allow_nan=False))


@given(st.sampled_from(sorted({published.characteristic for published in PUBLISHED})), st.binary(max_size=32))
def test_any_frame_is_json_or_an_error(characteristic: str, frame: bytes) -> None:
    try:
        answer = decode.canonical(characteristic, frame)
    except MalformedError:
        return
    assert json.loads(json.dumps(answer, allow_nan=False))["kind"]


def test_a_result_beyond_the_meter_is_null_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    _, (measured,) = told(capsys, "2a18", "0A 2B00 EA070B15071900 7EB0 12 2000")
    assert (measured["glucose_mg_dl"], measured["glucose_mmol_l"], measured["censored"]) == (None, None, "HI")
    assert measured["status_flags"] == ["result_above_range"]
    assert "quality" not in measured


def test_control_solution_must_not_be_believed(capsys: pytest.CaptureFixture[str]) -> None:
    _, (measured,) = told(capsys, "2a18", "02 2B00 EA070B15071900 7EB0 1A")
    assert (measured["quality"], measured["reasons"]) == ("invalid", ["control_solution"])
    assert measured["glucose_mg_dl"] == 126.0


def test_a_cuff_pressure_that_is_no_number_must_not_be_believed(capsys: pytest.CaptureFixture[str]) -> None:
    _, (measured,) = told(capsys, "2a36", "00 FF07 FF07 FF07")
    assert measured["cuff_pressure_mmhg"] is None
    assert measured["reasons"] == ["value_special"]


def test_a_weight_in_jin_is_refused_and_not_doubled(capsys: pytest.CaptureFixture[str]) -> None:
    code, (answer,) = told(capsys, "2a9d", "32 8642 B20701010A1A29")
    assert code == 1
    assert answer["error"].startswith("flags: bit 4")


def test_a_stream_of_saturation_carries_the_doubt_of_a_spot_check(capsys: pytest.CaptureFixture[str]) -> None:
    _, (shown,) = told(capsys, "2a5f", "04 6200 4E00 0080")
    assert (shown["spo2_percent"], shown["status_flags"]) == (98.0, ["invalid"])
    assert (shown["quality"], shown["reasons"]) == ("rejected", ["sensor_status"])


@pytest.mark.parametrize(
    ("characteristic", "octet", "answer"),
    [
        ("2a1d", "09", {"kind": "temperature_type", "site": "tympanum"}),
        ("2a1d", "0A", {"kind": "temperature_type", "site": None}),
        ("2a38", "01", {"kind": "body_sensor_location", "location": "chest"}),
        ("2a38", "07", {"kind": "body_sensor_location", "location": None}),
    ],
)
def test_an_octet_is_told_by_its_name(
    capsys: pytest.CaptureFixture[str], characteristic: str, octet: str, answer: dict[str, str | None]
) -> None:
    assert told(capsys, characteristic, octet) == (0, [answer])
    assert told(capsys, characteristic, octet + "00")[0] == 1


def test_a_broken_record_of_a_sensor_costs_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    code, (answer,) = told(capsys, "2aa7", "06 00 0C10 0500", "08 00 0C10 0600 586F")
    assert code == 0
    first, second = answer["records"]
    assert (first["glucose_mg_dl"], first["offset_min"]) == (120.0, 5)
    assert second == {"error": "crc: E2E-CRC 0x6f58, the frame gives 0x6f59"}


def test_a_notification_without_any_readable_record_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, (answer,) = told(capsys, "2aa7", "0E C3 F900 F40B 00 00 74E0 0A00 E0F1")
    assert code == 1
    assert answer == {"error": "crc: E2E-CRC 0xf1e0, the frame gives 0x0476; it would fit bits fed the other way round"}


def test_a_record_of_a_cuff_is_told_with_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """Its sum is 0x3818 by crcmod 1.7, CRC-16/MCRF4XX."""
    _, (answer,) = told(capsys, "2b36", "03 2A00 342B 00 9400 5C00 6F00 1838")
    assert (answer["has_crc"], answer["record"]["systolic_mmhg"]) == (True, 148.0)
    code, (refused,) = told(capsys, "2b36", "03 2A00 342B 00 9400 5C00 6F00 0000")
    assert code == 1
    assert refused["error"].startswith("frame_length: 9 bytes, flags say 7")


def test_an_overrun_of_exercise_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    _, (context,) = told(capsys, "2a34", "08 0100 FFFF 0A")
    assert context["exercise_duration_s"] is None
    assert context["exercise_intensity_percent"] == 10


def test_a_reader_that_has_seen_enough_ends_the_run_quietly() -> None:
    command = f"yes '2a35 {FULL}' | {sys.executable} -m homevigil.decode --stdin | head -n 2"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert len(ran.stdout.splitlines()) == 2
    assert ran.stderr == ""


def test_decoding_loads_nothing_heavy() -> None:
    """Neither the rules' numba nor the doors' pydantic is loaded to look at eighteen bytes."""
    probe = (
        "import sys, homevigil.decode\n"
        "homevigil.decode.main(['2a52', '0101'])\n"
        "heavy = {'numba', 'numpy', 'pydantic', 'psycopg', 'bleak', 'fastapi', 'typer'} & sys.modules.keys()\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert run("--help").returncode == 0


@pytest.mark.parametrize(
    ("characteristic", "frame", "expected"),
    [
        ("2a08", "ea070b150705 1e", {"kind": "date_time", "meter_time": "2026-11-21T07:05:30"}),
        ("2a08", "00000b15070500", {"kind": "date_time", "meter_time": None}),
        (
            "2a2b",
            "ea070b1507051e068003",
            {
                "kind": "current_time",
                "meter_time": "2026-11-21T07:05:30.500000",
                "day_of_week": 6,
                "adjust_reason": ["manual", "external_reference"],
            },
        ),
        (
            "2a2b",
            "00000000000000000000",
            {"kind": "current_time", "meter_time": None, "day_of_week": None, "adjust_reason": []},
        ),
        ("2a0f", "2000", {"kind": "local_time", "zone_minutes": 480, "daylight_saving_minutes": 0}),
        ("2a0f", "80ff", {"kind": "local_time", "zone_minutes": None, "daylight_saving_minutes": None}),
        ("2a19", "37", {"kind": "battery", "battery_percent": 55}),
        ("2a19", "65", {"error": "range: a battery of 101 %"}),
        ("2a29", "41264420204d65646963616c0000", {"kind": "manufacturer", "text": "A&D  Medical"}),
        ("2a24", "0000", {"kind": "model", "text": None}),
        ("2a49", "0500", {"kind": "blood_pressure_feature", "can_notice": ["body_movement", "irregular_pulse"]}),
        (
            "2a51",
            "2104",
            {"kind": "glucose_feature", "can_notice": ["low_battery", "result_high_low", "multiple_bonds"]},
        ),
        ("2a51", "21", {"error": "frame_length: 1 bytes, flags say 2"}),
    ],
)
def test_what_a_meter_says_of_itself_is_told(
    capsys: pytest.CaptureFixture[str], characteristic: str, frame: str, expected: dict[str, Any]
) -> None:
    code, told_of = told(capsys, characteristic, frame)
    assert told_of == [expected]
    assert code == ("error" in expected)
