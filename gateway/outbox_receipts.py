"""What a receipt does to the rows of the outbox, and how many rows are in each state. Nothing is ever deleted here.

Long spans are worked off some rows at a time, each in a transaction of its own: the journal of a long backlog must fit the
spare room of a full disk.
"""

import sqlite3
from collections.abc import Iterator
from typing import Final

from gateway.outbox_file import number
from gateway.outbox_rows import Counts
from vitals.envelope import Receipt

AT_A_TIME: Final = 500
UNCONFIRMED: Final = "answered_at is null and rejected_reason is null"
REWOUND: Final = f"rewound_at is not null and {UNCONFIRMED}"
UNSENDABLE: Final = "rejected_reason is not null and answered_at is null"


def highest_seq(db: sqlite3.Connection) -> int:
    return number(db, "select max(seq) from reading")


def never_answered(db: sqlite3.Connection) -> int:
    """How many readings wait that the server has never had."""
    waiting = number(db, f"select count(*) from reading where {UNCONFIRMED}")
    return waiting - number(db, f"select count(*) from reading where {REWOUND}")


def highest_named(receipt: Receipt) -> int:
    rejected = (rejection.seq for rejection in receipt.rejected)
    return max(receipt.upto, *receipt.extra, *rejected, *(last for _, last in receipt.missing), 0)


def confirm_named(db: sqlite3.Connection, receipt: Receipt, at: str) -> int:
    """Confirm or refuse the rows that `receipt` names one by one; how many it changed.

    A watermark may have overtaken the receipt that refuses: then the row is taken for confirmed, and is refused now.
    """
    refuse = (
        "update reading set rejected_reason = ?, answered_at = coalesce(answered_at, ?)"
        " where seq = ? and rejected_reason is null and held is null"
    )
    confirm = f"update reading set answered_at = ? where seq = ? and {UNCONFIRMED} and held is null"
    refused = [(each.reason, at, each.seq) for each in receipt.rejected if not _is_missing(receipt, each.seq)]
    confirmed = [(at, seq) for seq in receipt.extra if not _is_missing(receipt, seq)]
    return sum(db.execute(refuse, row).rowcount for row in refused) + sum(
        db.execute(confirm, row).rowcount for row in confirmed
    )


def confirmed_spans(receipt: Receipt) -> Iterator[tuple[int, int]]:
    """The spans up to the watermark without what is missing: who says both means that it is missing."""
    first = 1
    for missing_first, missing_last in receipt.missing:
        if first < missing_first and first <= receipt.upto:
            yield first, min(missing_first - 1, receipt.upto)
        first = missing_last + 1
    if first <= receipt.upto:
        yield first, receipt.upto


def confirm_some(db: sqlite3.Connection, first: int, last: int, at: str) -> int:
    """Confirm the next waiting rows of the span; how many, 0 when all are."""
    some = f"select seq from reading where {UNCONFIRMED} and held is null and seq between ? and ? order by seq limit ?"
    return db.execute(
        f"update reading set answered_at = ? where seq in ({some})", (at, first, last, AT_A_TIME)
    ).rowcount


def rewind_some(db: sqlite3.Connection, first: int, last: int, at: str) -> int:
    """Let the next answered rows of the span wait again, as far as their bodies are here; how many, 0 when all do."""
    some = (
        "select seq from reading where seq between ? and ? and answered_at is not null and body is not null"
        " order by seq limit ?"
    )
    return db.execute(
        f"update reading set answered_at = null, rejected_reason = null, rewound_at = ? where seq in ({some})",
        (at, first, last, AT_A_TIME),
    ).rowcount


def count_rows(db: sqlite3.Connection, *, ignored_receipts: int, beyond: int, disk_is_full: bool) -> Counts:
    """Within one transaction or under one lock, so that the sums are exact."""
    kept = highest_seq(db)
    unconfirmed = number(db, f"select count(*) from reading where {UNCONFIRMED}")
    rejected = number(db, "select count(*) from reading where rejected_reason is not null")
    unsendable = number(db, f"select count(*) from reading where {UNSENDABLE}")
    answered = kept - unconfirmed - unsendable
    remembered = number(db, "select count(*) from reading where answered_at is not null and body is not null")
    return Counts(
        kept=kept,
        unconfirmed=unconfirmed,
        held=number(db, "select count(*) from reading where held is not null"),
        rewound=number(db, f"select count(*) from reading where {REWOUND}"),
        confirmed=kept - unconfirmed - rejected,
        rejected=rejected,
        unsendable=unsendable,
        answered=answered,
        forgotten=answered - remembered,
        quarantined=number(db, "select count(*) from quarantine"),
        ignored_receipts=ignored_receipts,
        beyond=beyond,
        disk_is_full=disk_is_full,
    )


def _is_missing(receipt: Receipt, seq: int) -> bool:
    return any(first <= seq <= last for first, last in receipt.missing)
