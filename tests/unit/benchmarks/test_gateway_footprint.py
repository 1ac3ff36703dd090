"""What the benchmark of the gateway's footprint calls well, and that it reads the bus's own count of match rules."""

import os
from dataclasses import replace

import pytest
from dbus_fast import Message
from dbus_fast.aio import MessageBus

from benchmarks.gateway_footprint import Footprint, _match_rules

WELL = Footprint(
    start_s=0.9,
    start_cpu_s=0.5,
    idle_share=0.001,
    idle_rss_mb=55.0,
    sessions=360,
    session_cpu_s=0.01,
    rss_mb_max=58.0,
    growth_kb_a_session=0.2,
    open_files=(17, 17),
    match_rules=(4, 4),
)


def test_a_small_gateway_that_does_not_grow_is_well() -> None:
    assert WELL.is_well


@pytest.mark.parametrize(
    "change",
    [
        {"start_s": 3.1},
        {"idle_share": 0.011},
        {"rss_mb_max": 60.1},
        {"growth_kb_a_session": 2.1},
        {"open_files": (17, 18)},
        {"match_rules": (4, 5)},
    ],
    ids=str,
)
def test_one_that_is_too_slow_or_too_big_or_grows_is_not(change: dict[str, object]) -> None:
    assert not replace(WELL, **change).is_well  # type: ignore[arg-type]


@pytest.mark.radio
async def test_match_rules_are_those_that_the_bus_counts_for_the_process(bus_address: str) -> None:
    bus = await MessageBus(bus_address=bus_address).connect()
    before = await _match_rules(bus_address, os.getpid())
    rule = "type='signal',interface='com.example'"
    added = Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member="AddMatch",
        signature="s",
        body=[rule],
    )
    await bus.call(added)
    after = await _match_rules(bus_address, os.getpid())
    bus.disconnect()
    assert (before, after) == (0, 1)
