"""Reports that break off at every frame, on one line from the meter to the clinic: in the end it has all, and all once."""

from pathlib import Path
from typing import Any

from fix_clinic import Clinic
from one_line import line_with

from firmware_sims.firmware import Action, HangUp
from firmware_sims.glucometer import Glucometer
from firmware_sims.settings import Meter

MEALS = ("fasting", None, "postprandial")
FRAMES = 2 * len(MEALS) - MEALS.count(None)


class Breaking(Glucometer):
    """Hangs up before the frame `left`, once."""

    def __init__(self, meter: Meter, left: int) -> None:
        super().__init__(meter)
        self._left: int | None = left

    def next_action(self) -> Action | None:
        if self._left == 0 and self._outgoing:
            self._left = None
            return HangUp()
        action = super().next_action()
        if action is not None and self._left is not None:
            self._left -= 1
        return action


async def test_a_report_that_breaks_off_anywhere_ends_in_the_clinic_like_a_whole_one(
    clinic: Clinic, tmp_path: Path
) -> None:
    meters: list[dict[str, Any]] = [
        {"name": f"glu{left}", "kind": "glucose", "index": left + 1} for left in range(FRAMES + 2)
    ]
    async with line_with(clinic, tmp_path, *meters) as line:
        for left, each in enumerate(meters):
            meter = line.home.meter(each["name"])
            meter.firmware = Breaking(meter.meter, left)
            for nth, meal in enumerate(MEALS):
                line.home.prick(each["name"], mg_dl=100 + nth, meal=meal)
        await line.arrive(len(meters) * len(MEALS))
        await line.home.until(lambda: line.home.collector.totals.failed_sessions >= FRAMES + 1)
        await line.home.until(lambda: not any(line.home.meter(each["name"]).is_heard for each in meters))
        line.send()
        stored = line.rows("select meter_id, glucose_mg_dl, meal from reading")
    told: dict[str, list[tuple[int, str | None]]] = {}
    for row in stored:
        told.setdefault(row["meter_id"], []).append((round(row["glucose_mg_dl"]), row["meal"]))
    whole = [(100 + nth, meal) for nth, meal in enumerate(MEALS)]
    assert len(told) == len(meters)
    assert {tuple(sorted(each)) for each in told.values()} == {tuple(whole)}
