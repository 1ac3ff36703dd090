"""The log as it is written: one JSON object a line, the same line a few times an hour, the journal told how grave it is."""

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway import log


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """The gateway's own configuration, as `run` makes it; taken back afterwards."""
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    level, own = root.level, logging.getLogger("gateway").level
    stream = io.StringIO()
    log.configure(stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("gateway").setLevel(own)


def _lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_one_json_object(out: io.StringIO) -> None:
    structlog.get_logger("gateway.test").warning("session_failed", meter_id="F0:00:00:10:00:01", why="gone\nand more")
    (line,) = _lines(out)
    assert line | {"timestamp": ""} == {
        "event": "session_failed",
        "level": "warning",
        "meter_id": "F0:00:00:10:00:01",
        "why": "gone\nand more",
        "timestamp": "",
    }


def test_the_level_can_be_changed_while_it_runs(out: io.StringIO) -> None:
    logger = structlog.get_logger("gateway.test")
    logger.debug("before")
    log.set_level("debug")
    logger.debug("between")
    log.set_level("warning")
    logger.info("after")
    assert [line["event"] for line in _lines(out)] == ["between"]


def test_a_line_of_a_library_has_the_same_form(out: io.StringIO) -> None:
    logging.getLogger("paho").error("no route to %s", "broker")
    (line,) = _lines(out)
    assert (line["event"], line["level"]) == ("no route to broker", "error")


def test_a_meter_that_fails_for_a_year_says_so_six_times_an_hour_with_how_often() -> None:
    now_s = 0.0
    sparing = log.Sparing(lambda: now_s)
    said = []
    for nth in range(241):  # every half a minute, for two hours and one
        record = _record(logging.WARNING, event="session_failed", meter_id="A", why=f"not done after {nth} s", new=nth)
        if sparing.filter(record):
            said.append(record.msg)
        now_s += 30.0
    assert len(said) == 13
    assert [line["left_out"] for line in said if "left_out" in line] == [114, 114]


def test_another_meter_another_reason_and_another_reading_are_other_lines() -> None:
    sparing = log.Sparing(lambda: 0.0)
    for nth in range(100):
        assert sparing.filter(_record(logging.WARNING, event="session_failed", meter_id=str(nth), why="gone"))
        assert sparing.filter(_record(logging.INFO, event="reading_kept", reading_id=f"id-{nth}", meter_id="A"))
    for why in ("gone", "no key", "busy"):
        assert sparing.filter(_record(logging.WARNING, event="session_failed", meter_id="A", why=why))


def test_what_is_counted_is_bounded_and_debug_is_not_counted() -> None:
    sparing = log.Sparing(lambda: 0.0)
    for nth in range(10 * log.LINES_KNOWN):
        sparing.filter(_record(logging.INFO, event=f"event-{'x' * (nth % 7)}", meter_id=f"m-{nth}"))
    assert len(sparing._said) == log.LINES_KNOWN
    assert all(sparing.filter(_record(logging.DEBUG, event="readings_sent")) for _ in range(1000))


def test_the_last_lines_are_kept_for_a_diagnosis(out: io.StringIO) -> None:
    for nth in range(log.LINES_KEPT + 5):
        structlog.get_logger("gateway.test").warning("said", meter_id=f"m-{nth}")
    kept = [json.loads(line)["meter_id"] for line in log.last_lines()]
    assert kept == [f"m-{nth}" for nth in range(5, log.LINES_KEPT + 5)]
    log.configure(stream=out)
    assert log.last_lines() == []


def test_the_journal_is_told_how_grave_a_line_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, out: object) -> None:
    path = tmp_path / "journal"
    with path.open("w") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        log.configure(stream=stream)
        structlog.get_logger("gateway.other").error("disk_full")
        structlog.get_logger("gateway.other").info("scan_started")
    grave, news = path.read_text().splitlines()
    assert (grave[:3], news[:3]) == ("<3>", "<6>")
    assert json.loads(news[3:])["event"] == "scan_started"


def _record(level: int, **words: object) -> logging.LogRecord:
    return logging.LogRecord("gateway.test", level, "", 0, words, None, None)
