"""How a `ReadingId` is derived, so that every retry is safe.

Derived, not drawn: a meter that sends again, a gateway that sends again and a gateway that was re-imaged all arrive at the
same id. Corrected time is never part of it: a later correction must not make a second reading.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("6b0d7f0e-2c5e-5d9c-9a53-5f1f1f0f7c11")
"""HomeVigil's own namespace for readings; changing it would make every stored reading new again."""


def reading_id(
    *,
    meter_id: str,
    kind: str,
    raw: bytes,
    user_slot: int | None = None,
    sequence: int | None = None,
    meter_time: str | None = None,
    first_kept_at: datetime | None = None,
) -> UUID:
    """The id of one measurement of one meter.

    `sequence` is the record's own number (glucose), `meter_time` the unmodified clock of the meter. A meter that gives
    neither has nothing that tells two equal measurements apart, so the instant at which the gateway first kept it is mixed
    in; then it is required.
    """
    if sequence is None and meter_time is None:
        if first_kept_at is None or first_kept_at.tzinfo is None:
            raise AssertionError("a measurement without sequence and meter time needs an aware first_kept_at")
        moment = f"kept {first_kept_at.astimezone(UTC).isoformat()}"
    else:
        moment = f"sequence {sequence} at {meter_time}"
    slot = "-" if user_slot is None else str(user_slot)
    return uuid5(NAMESPACE, "|".join((meter_id, kind, moment, slot, raw.hex())))
