"""The outbox against a model of it, through any order of keeping, receipts, rewinds, refusals, restarts and purges."""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from unit.gateway.samples import NOW, evidence, reading

from gateway.errors import OutboxFullError
from gateway.outbox import KEPT_AFTER_RECEIPT, Outbox, read_counts
from gateway.outbox_rows import Unbelieved
from vitals.envelope import Receipt, Rejection, decode_stored_reading

BOUND = 4
seqs = st.integers(1, 12)
some_seqs = st.just([]) | st.lists(seqs, max_size=2)


@st.composite
def spans(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Up to three ascending spans without overlap."""
    ends = sorted(draw(st.sets(seqs, max_size=6)))
    pairs = [(first, last) for first, last in zip(ends[::2], ends[1::2], strict=False)]
    return tuple((first, first) if draw(st.booleans()) else (first, last) for first, last in pairs)


@dataclass
class Kept:
    """What the model knows of one reading."""

    nth: int
    state: str
    answered_at: datetime | None = None
    has_body: bool = True
    was_rewound: bool = False

    @property
    def waits(self) -> bool:
        return self.state in ("waiting", "held")


class OutboxMachine(RuleBasedStateMachine):
    """The model: which reading has which seq, and what has become of each."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.outbox = Outbox(self.folder / "outbox.sqlite", now=NOW, max_unconfirmed=BOUND)
        self.kept: dict[int, Kept] = {}
        self.ignored = 0
        self.now = NOW

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.folder)

    @rule(nth=st.integers(0, 15), is_held=st.booleans())
    def keep(self, nth: int, is_held: bool) -> None:
        self._keep(nth, Unbelieved(boot_id="b", since_boot_s=1.0, evidence=evidence()) if is_held else None)

    @rule(count=st.integers(2, 6))
    def keep_several(self, count: int) -> None:
        known = {kept.nth for kept in self.kept.values()}
        for nth in [nth for nth in range(16) if nth not in known][:count]:
            self._keep(nth, None)

    def _keep(self, nth: int, unbelieved: Unbelieved | None) -> None:
        if nth in [kept.nth for kept in self.kept.values()]:
            assert self.outbox.keep(reading(nth), unbelieved=unbelieved) is None
            return
        if sum(kept.waits and not kept.was_rewound for kept in self.kept.values()) >= BOUND:
            with pytest.raises(OutboxFullError):
                self.outbox.keep(reading(nth), unbelieved=unbelieved)
            return
        seq = self.outbox.keep(reading(nth), unbelieved=unbelieved)
        assert seq == len(self.kept) + 1
        self.kept[seq] = Kept(nth, "held" if unbelieved else "waiting")

    @rule(
        upto=st.integers(0, 12),
        extra=st.lists(seqs, max_size=3),
        rejected=st.lists(seqs, max_size=2),
        missing=st.just(()) | spans(),
        is_ours=st.integers(0, 4).map(bool),
    )
    def receive(
        self, upto: int, extra: list[int], rejected: list[int], missing: tuple[tuple[int, int], ...], is_ours: bool
    ) -> None:
        self._apply(upto, extra, rejected, missing, is_ours=is_ours)

    @precondition(lambda self: self.kept)
    @rule(back=st.integers(0, 3), refuses=st.booleans())
    def receive_the_watermark(self, back: int, refuses: bool) -> None:
        """Most random receipts name a seq that was never given; this one does not."""
        upto = max(0, len(self.kept) - back)
        self._apply(upto, [], [upto] if refuses and upto else [], (), is_ours=True)

    @precondition(lambda self: self.kept)
    @rule(extra=some_seqs, rejected=some_seqs, is_ours=st.just(True) | st.booleans())
    def receive_beyond_a_hole(self, extra: list[int], rejected: list[int], is_ours: bool) -> None:
        extra, rejected = ([1 + seq % len(self.kept) for seq in named] for named in (extra, rejected))
        self._apply(0, extra, rejected, (), is_ours=is_ours)

    @precondition(lambda self: self.kept)
    @rule(with_watermark=st.booleans(), first=st.integers(1, 6), length=st.integers(1, 8))
    def be_asked_again(self, with_watermark: bool, first: int, length: int) -> None:
        highest = len(self.kept)
        first = min(first, highest)
        missing = ((first, min(first + length - 1, highest)),)
        self._apply(highest if with_watermark else 0, [], [], missing, is_ours=True)

    def _apply(
        self,
        upto: int,
        extra: list[int],
        rejected: list[int],
        missing: tuple[tuple[int, int], ...],
        *,
        is_ours: bool,
    ) -> None:
        receipt = Receipt(
            epoch=self.outbox.epoch if is_ours else "f" * 16,
            upto=upto,
            extra=tuple(extra),
            rejected=tuple(Rejection(seq=seq, reason="range") for seq in rejected),
            missing=missing,
        )
        changed = self.outbox.apply(receipt, now=self.now)
        if not is_ours or max([upto, *extra, *rejected, *(last for _, last in missing)]) > len(self.kept):
            self.ignored += 1
            assert changed == 0
            return
        assert changed == sum(self._note(seq, receipt) for seq in self.kept)

    def _note(self, seq: int, receipt: Receipt) -> bool:
        """What `receipt` makes of the model of one reading; whether that changes it."""
        kept = self.kept[seq]
        if any(first <= seq <= last for first, last in receipt.missing):
            is_lost = kept.answered_at is not None and kept.has_body
            if is_lost:
                kept.state, kept.answered_at, kept.was_rewound = "waiting", None, True
            return is_lost
        is_refused = seq in [rejection.seq for rejection in receipt.rejected]
        is_named = is_refused or seq <= receipt.upto or seq in receipt.extra
        if kept.state == "confirmed" and is_refused:  # the watermark had overtaken it
            kept.state = "refused"
            return True
        if kept.state != "waiting" or not is_named:
            return False
        kept.state, kept.answered_at = "refused" if is_refused else "confirmed", self.now
        return True

    @precondition(lambda self: self.kept)
    @rule(share=st.floats(0, 1))
    def put_aside(self, share: float) -> None:
        seq = 1 + round(share * (len(self.kept) - 1))
        self.outbox.reject(seq, "oversize")
        if self.kept[seq].state == "waiting":
            self.kept[seq].state = "unsendable"

    @rule()
    def readmit(self) -> None:
        aside = [kept for kept in self.kept.values() if kept.state == "unsendable"]
        assert self.outbox.readmit() == len(aside)
        for kept in aside:
            kept.state = "waiting"

    @precondition(lambda self: any(kept.state == "held" for kept in self.kept.values()))
    @rule()
    def settle(self) -> None:
        held = self.outbox.held(1)[0]
        self.outbox.settle(held.seq, held.reading)
        self.kept[held.seq].state = "waiting"

    @rule()
    def restart(self) -> None:
        epoch, path = self.outbox.epoch, self.outbox.path
        self.outbox.close()
        self.outbox = Outbox(path, now=self.now, max_unconfirmed=BOUND)
        self.ignored = 0
        assert self.outbox.epoch == epoch

    @rule(days=st.integers(0, 40))
    def purge(self, days: int) -> None:
        self.now += timedelta(days=days)
        purged = self.outbox.purge(now=self.now)
        old = [
            kept
            for kept in self.kept.values()
            if kept.state == "confirmed"
            and kept.has_body
            and kept.answered_at is not None
            and kept.answered_at < self.now - KEPT_AFTER_RECEIPT
        ]
        assert purged == len(old)
        for kept in old:
            kept.has_body = False

    @invariant()
    def exactly_the_waiting_readings_are_to_be_sent_unaltered(self) -> None:
        rows = self.outbox.unconfirmed(100)
        assert [row.seq for row in rows] == [seq for seq, kept in self.kept.items() if kept.state == "waiting"]
        for row in rows:
            assert decode_stored_reading(row.body) == reading(self.kept[row.seq].nth)

    @invariant()
    def every_reading_ever_kept_is_counted_once(self) -> None:
        counts = self.outbox.counts()
        all_kept = list(self.kept.values())
        states = [kept.state for kept in all_kept]
        assert counts.kept == len(all_kept) == counts.unconfirmed + counts.confirmed + counts.rejected
        assert counts.held == states.count("held")
        assert counts.unconfirmed == states.count("held") + states.count("waiting")
        assert counts.confirmed == states.count("confirmed")
        assert counts.rejected == states.count("refused") + states.count("unsendable")
        assert counts.unsendable == states.count("unsendable")
        assert counts.answered == states.count("confirmed") + states.count("refused")
        assert counts.forgotten == sum(not kept.has_body for kept in all_kept)
        assert counts.rewound == sum(kept.was_rewound and kept.waits for kept in all_kept)
        assert counts.ignored_receipts == self.ignored

    @invariant()
    def who_only_looks_sees_the_same(self) -> None:
        looked = read_counts(self.outbox.path)
        assert (looked.kept, looked.answered, looked.forgotten) == (
            len(self.kept),
            sum(kept.answered_at is not None for kept in self.kept.values()),
            sum(not kept.has_body for kept in self.kept.values()),
        )


OutboxMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
test_the_outbox_does_what_its_model_does = OutboxMachine.TestCase
