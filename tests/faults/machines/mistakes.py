"""Mistakes that somebody could make in the protocol of receipts and in the life of an alert."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from gateway import outbox
from gateway.outbox import Outbox
from vitals.envelope import Receipt


def watermark_is_the_highest() -> None:
    from server.store import intake

    advance = intake.advance

    def highest(conn: Any, committed: Mapping[tuple[str, str], Collection[int]]) -> dict[tuple[str, str], int]:
        return {key: max(committed[key]) for key in advance(conn, committed)}

    intake.advance = highest


def takes_receipts_of_another_epoch() -> None:
    apply = Outbox.apply

    def any_epoch(self: Outbox, receipt: Receipt, *, now: datetime) -> int:
        return apply(self, msgspec.structs.replace(receipt, epoch=self.epoch), now=now)

    Outbox.apply = any_epoch  # type: ignore[method-assign]


def forgets_extra() -> None:
    confirm = outbox.confirm_named

    def without(db: Any, receipt: Receipt, at: str) -> int:
        return confirm(db, msgspec.structs.replace(receipt, extra=()), at)

    outbox.confirm_named = without


def comes_back_as_another() -> None:
    from server.rules import episodes

    begin = episodes._begin
    episodes._begin = lambda _, finding, now: begin([], finding, now)


def leaves_the_next_steps() -> None:
    from server.store import worklist_decisions

    worklist_decisions.cancel_repeated_pushes = lambda *_: 0
