"""Two boxes with one card: the real gateway twice, a real broker that lets in one of them at a time, and the clinic notices."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from doors import open_door, settings_for
from integration.test_gateway_process import gateway

from homevigil.embedded.broker import EmbeddedBroker
from server.store import enrolment
from server.store.alarms import open_alarms
from server.store.postgres import Pool

WITHIN_S = 60.0


def alarms(pool: Pool) -> set[tuple[str, str]]:
    with pool.connection() as conn:
        return {(alarm.kind, alarm.subject) for alarm in open_alarms(conn)}


def lives(pool: Pool) -> int:
    """How many have given way to another."""
    with pool.connection() as conn:
        (row,) = conn.execute("select count(*) from gateway_life").fetchall()
    return int(row[0])


def until(is_so: Callable[[], bool], pool: Pool) -> None:
    ends_at = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < ends_at, (alarms(pool), lives(pool))
        time.sleep(0.05)


def test_a_card_that_was_copied_is_noticed_and_a_box_that_starts_again_is_not_taken_for_one(
    mosquitto: EmbeddedBroker, pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    with pool.connection() as conn:
        enrolment.add_gateway(conn, "gw-1", "Asia/Shanghai")
    card, copy = tmp_path / "card", tmp_path / "copy"
    card.mkdir()

    def has_been_heard() -> bool:
        with pool.connection() as conn:
            return enrolment.list_gateways(conn, "gw-1")[0].last_heard_at is not None

    with open_door(settings_for(mosquitto, database_url), pool):
        with gateway(card, mosquitto):
            until(has_been_heard, pool)
        with gateway(card, mosquitto) as again:
            until(lambda: lives(pool) == 1, pool)
            again.kill()
        with gateway(card, mosquitto):
            until(lambda: lives(pool) == 2, pool)
        assert alarms(pool) == set()
        shutil.copytree(card, copy)
        with gateway(card, mosquitto), gateway(copy, mosquitto):
            until(lambda: ("identity_copied", "gw-1") in alarms(pool), pool)
