"""What goes to the log of a server: places and types, never what a patient measured."""

import json
import subprocess
import sys

import psycopg
import pytest

SCRIPT = """
import logging, sys
import psycopg
import structlog
from server.log import log_as_json
from vitals.errors import UnavailableError

log_as_json("info")
log = structlog.get_logger()
try:
    with psycopg.connect(sys.argv[1]) as conn:
        conn.execute("create temp table reading (systolic int check (systolic < 300))")
        conn.execute("insert into reading values (%s)", (7654321,))
except psycopg.Error:
    log.exception("stored_nothing", reading_id="r-1")
try:
    raise ExceptionGroup("both 7654321", [ValueError("7654321"), ExceptionGroup("in it", [KeyError("7654321")])])
except ExceptionGroup:
    logging.getLogger("uvicorn.error").exception("in a library")
try:
    raise UnavailableError("the broker does not answer")
except UnavailableError:
    log.exception("unavailable")
"""


@pytest.fixture
def lines(empty_database_url: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, empty_database_url], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stderr.splitlines()


def test_no_value_of_a_patient_reaches_the_log_by_way_of_an_exception(lines: list[str]) -> None:
    assert len(lines) == 3
    assert not [line for line in lines if "7654321" in line]


def test_a_refused_row_is_logged_by_type_state_and_place(lines: list[str]) -> None:
    refused = json.loads(lines[0])
    assert refused["reading_id"] == "r-1"
    [exception] = refused["exception"]
    assert exception["exc_type"] == psycopg.errors.CheckViolation.__name__
    assert exception["sqlstate"] == "23514"
    assert exception["frames"]


def test_words_that_speak_of_the_machine_are_logged(lines: list[str]) -> None:
    assert json.loads(lines[2])["exception"][0]["exc_value"] == "the broker does not answer"
