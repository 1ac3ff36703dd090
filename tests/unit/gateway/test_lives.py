"""How often the box has started, and how it ended before: over power cuts, crashes and goodbyes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from unit.gateway.samples import NOW

from gateway.lives import STARTS_KEPT, Lives
from gateway.outbox import Outbox


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite", now=NOW) as outbox:
        yield outbox


def _start(outbox: Outbox, boot_id: str = "boot-1", since_boot_s: float = 20.0) -> Lives:
    return Lives(outbox, boot_id=boot_id, since_boot_s=since_boot_s)


def test_the_first_life_has_none_before_it(outbox: Outbox) -> None:
    said = _start(outbox).describe(NOW, 50.0)
    assert said.pop("life")
    assert said == {
        "total": 1,
        "unclean": 0,
        "boots": 1,
        "lately": 0,
        "last_end": "unknown",
        "up_s": 30,
        "boot_up_s": 50,
    }


def test_a_life_keeps_its_name_and_no_two_have_the_same(outbox: Outbox) -> None:
    life = _start(outbox)
    names = [life.describe(NOW + timedelta(hours=n), 50.0 + n)["life"] for n in range(2)]
    names += [_start(outbox, *box).describe(NOW, 50.0)["life"] for box in (("boot-1", 21.0), ("boot-2", 20.0))]
    assert len(names[0]) == 16
    assert [names.index(name) for name in names] == [0, 0, 2, 3]


def test_a_goodbye_a_crash_and_a_power_cut_are_told_apart(outbox: Outbox) -> None:
    _start(outbox).told_to_end()
    assert _start(outbox).describe(NOW, 50.0)["last_end"] == "told"
    assert _start(outbox).describe(NOW, 50.0)["last_end"] == "broken"
    said = _start(outbox, "boot-2").describe(NOW, 50.0)
    assert (said["last_end"], said["unclean"], said["boots"], said["total"]) == ("power", 2, 2, 4)


def test_starts_of_the_last_day_are_counted_once_the_time_is_known(outbox: Outbox) -> None:
    for hours in (30, 20, 10, 0):
        life = _start(outbox, f"boot-{hours}")
        now = NOW - timedelta(hours=hours)
        life.dated(now, 80.0)
        life.dated(now + timedelta(days=400), 90.0)
    assert life.describe(NOW, 80.0)["lately"] == 3


def test_a_box_that_starts_all_day_long_fills_nothing(outbox: Outbox) -> None:
    for _ in range(STARTS_KEPT + 20):
        life = _start(outbox)
        life.dated(NOW, 80.0)
    assert life.describe(NOW, 80.0)["lately"] == STARTS_KEPT
    assert len(outbox.setting("lives") or "") < 4096


def test_what_a_newer_build_has_kept_stops_nobody(outbox: Outbox) -> None:
    outbox.set_setting("lives", '{"starts": "many"}')
    assert _start(outbox).describe(NOW, 50.0)["total"] == 1
