"""What the collector counts: of one meter, and of all meters since the process started. Pure."""

from dataclasses import dataclass, field
from typing import Any, Final

METERS_COUNTED: Final = 256
"""As many as the rota knows."""


@dataclass(slots=True)
class Totals:
    """Since this process started."""

    sessions: int = 0
    failed_sessions: int = 0
    kept: int = 0
    repeated: int = 0
    set_aside: int = 0
    is_scanning: bool = False
    wrong_with_radio: str | None = None
    meters: dict[str, "MeterTotals"] = field(default_factory=dict)

    def of(self, meter_id: str) -> "MeterTotals":
        """What is counted of one meter; the one that was heard longest ago makes room for a new one, one that has given
        something last."""
        found = self.meters.get(meter_id)
        if found is None:
            if len(self.meters) >= METERS_COUNTED:
                del self.meters[
                    min(self.meters, key=lambda each: (self.meters[each].kept > 0, self.meters[each].heard_s))
                ]
            found = self.meters[meter_id] = MeterTotals()
        return found


@dataclass(slots=True)
class MeterTotals:
    """One meter since this process started. `heard_s`: in seconds since boot; `failed_in_a_row` ends with a good session;
    `why`: of the last one that broke; `worn`: what a glucose sensor says of its own session;
    `unsteady`: visits to one that only shows what it sees, in which nothing was steady;
    `users`: what became of each user of a shared meter; `asks_for_user`: it gave nothing, and we know nobody to ask it for."""

    heard_s: float = 0.0
    sessions: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    kept: int = 0
    why: str | None = None
    clock: str | None = None
    worn: dict[str, Any] | None = None
    unsteady: int = 0
    users: dict[str, str] | None = None
    asks_for_user: bool = False
