"""What of the product is replaced for a simulation, from outside: a die, a size, the log, and two places to look in."""

import random
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from unittest.mock import patch

import structlog

from gateway import outbox_file, spare_room
from server.store import judging

SPARE_BYTES: Final = 64 * 1024
"""Hundreds of outboxes lie in memory: 8 MiB of spare room each would be most of it."""


class SeededSecrets:
    """Draws epochs from the seed, so that a replay has the same ones."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def token_hex(self, size: int) -> str:
        return self._rng.randbytes(size).hex()


@contextmanager
def simulated_product(
    rng: random.Random, *, on_taken: Callable[[int, datetime], None], meanwhile: Callable[[], None]
) -> Iterator[list[str]]:
    """The product with seeded epochs, small spare rooms and a log that is only listened to; gives what it logs as an error.

    `on_taken` is told of each judging that begins: whose, and since when. `meanwhile` is called in the middle of it: there
    another process may commit something.
    """
    complaints: list[str] = []
    before = structlog.get_config()

    def listen(_: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        if method in ("error", "exception", "critical"):
            error = event.get("exc_info")
            complaints.append(
                " ".join(f"{key}={value}" for key, value in event.items()) + (f" {error}" if error else "")
            )
        raise structlog.DropEvent

    take, load = judging.take_due, judging.history_of

    def take_and_tell(conn: judging.Connection, patient_id: int) -> judging.Taken | None:
        taken = take(conn, patient_id)
        if taken is not None:
            on_taken(patient_id, taken.since)
        return taken

    def load_and_wait(*given: Any, **more: Any) -> Any:
        history = load(*given, **more)
        meanwhile()
        return history

    structlog.configure(processors=[listen], wrapper_class=structlog.make_filtering_bound_logger(40))
    try:
        with (
            patch.object(outbox_file, "secrets", SeededSecrets(rng)),
            patch.object(spare_room, "PART_BYTES", SPARE_BYTES),
            patch.object(judging, "take_due", take_and_tell),
            patch.object(judging, "history_of", load_and_wait),
        ):
            yield complaints
    finally:
        structlog.configure(**before)
