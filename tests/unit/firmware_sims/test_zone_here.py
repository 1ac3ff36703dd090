"""A meter hangs on the wall of the machine that plays it, unless it is told another."""

from zoneinfo import ZoneInfo

import pytest

from firmware_sims.clock import zone_here


def test_the_zone_that_is_set_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert zone_here() == "Europe/Berlin"


@pytest.mark.parametrize("said", ["", "Moon/Crater", ":/etc/localtime", "../../etc/passwd"])
def test_a_zone_that_is_none_is_looked_past(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", said)
    assert ZoneInfo(zone_here())
