"""Tells every open worklist of a process what is open now, over one listening connection for all of them.

A page is told the whole of what is open on its user's panel, by number and version, whenever that has become another: it may
miss any number of changes and still ends up with what is. What is told is read through the looker's own door, so that a patient
who has left the panel is in no further telling. Sessions are looked at every few seconds without keeping them alive; the page of
one that has ended is told so, and is told nothing else.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2s
from time import monotonic
from typing import Any, Final
from uuid import UUID

import structlog

from server.people import sessions
from server.people.door import Caller, Clinic
from server.store import news as store
from server.store import worklist
from server.store.postgres import transaction
from vitals.errors import UnavailableError

log = structlog.get_logger()

LISTEN_S: Final = 0.5
"""How long the listening thread waits at most before it looks whether it is still wanted."""

GATHER_S: Final = 0.1
"""What is judged together is told together: after the first ring, this long is listened for more."""

SESSIONS_EVERY_S: Final = 5.0
EVERYTHING_EVERY_S: Final = 30.0
"""A right that ends by the clock rings no bell."""

RETRY_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What is open on somebody's panel: versions of alerts by their short names, by patient. `mark` is short for all of it."""

    open: Mapping[int, Mapping[str, int]]
    unread: int

    @property
    def mark(self) -> str:
        said = [
            f"{patient}:{name}.{version}" for patient, alerts in self.open.items() for name, version in alerts.items()
        ]
        return blake2s("\n".join([*sorted(said), str(self.unread)]).encode(), digest_size=8).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {
            "open": {str(patient): known(alerts) for patient, alerts in self.open.items()},
            "unread": self.unread,
        }


def short_name(episode_id: UUID) -> str:
    """Enough of an alert's id to tell those of one panel apart."""
    return episode_id.hex[:12]


def known(alerts: Mapping[str, int]) -> str:
    """The form in which a row says what it shows."""
    return " ".join(sorted(f"{name}.{version}" for name, version in alerts.items()))


def read_news(caller: Caller) -> News:
    """What is open for `caller` now. Raises `UnavailableError`."""
    with transaction(caller.pool) as conn:
        found = worklist.list_open_versions(conn, user_id=caller.user_id)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    by_patient: dict[int, dict[str, int]] = {}
    for each in found:
        by_patient.setdefault(each.patient_id, {})[short_name(each.episode_id)] = each.version
    return News(open=by_patient, unread=unread)


@dataclass(eq=False, slots=True, kw_only=True)
class Page:
    """One open page. It holds the newest news only: what was not fetched before is no longer of interest."""

    caller: Caller
    mark: str
    loop: asyncio.AbstractEventLoop
    patients: frozenset[int] = frozenset()
    is_fresh: bool = True
    is_over: bool = False
    is_signed_out: bool = False
    _news: News | None = None
    _rung: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self, timeout_s: float) -> News | None:
        """The next news; `None` when there was none within `timeout_s`, or when it `is_over`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), timeout_s)
        self._rung.clear()
        told, self._news = self._news, None
        return told

    def tell(self, told: News) -> None:
        """From the listening thread: what is open now, if the page does not show that already."""
        self.patients, self.is_fresh = frozenset(told.open), False
        if told.mark != self.mark:
            self.mark = told.mark
            self._call(told, is_over=False, is_signed_out=False)

    def end(self, *, is_signed_out: bool = False) -> None:
        """From any thread: the page is told nothing more."""
        self._call(None, is_over=True, is_signed_out=is_signed_out)

    def _call(self, told: News | None, **ending: bool) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(self._take, told, ending)

    def _take(self, told: News | None, ending: Mapping[str, bool]) -> None:
        self._news = told or self._news
        self.is_over |= ending["is_over"]
        self.is_signed_out |= ending["is_signed_out"]
        self._rung.set()


class Newsroom:
    """The open pages of one process, and the thread that listens for them; without a page there is none."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self._pages: set[Page] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @contextmanager
    def open_page(self, caller: Caller, mark: str) -> Iterator[Page]:
        """A page that shows what `mark` stands for, for as long as the context is open."""
        page = Page(caller=caller, mark=mark, loop=asyncio.get_running_loop())
        with self._lock:
            page.is_over = self._is_closed
            self._pages.add(page)
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._run, name="news", daemon=True)
                self._thread.start()
        try:
            yield page
        finally:
            with self._lock:
                self._pages.discard(page)

    def close(self) -> None:
        """Ends every page, so that the server can end."""
        with self._lock:
            self._is_closed = True
            pages = list(self._pages)
        for page in pages:
            page.end()

    def _run(self) -> None:
        ear = store.Ear(self._clinic.pool)
        sessions_at = everything_at = monotonic()
        try:
            while pages := self._still_open():
                try:
                    rung = self._hear(ear)
                    if monotonic() >= sessions_at:
                        self._end_signed_out(pages)
                        sessions_at = monotonic() + SESSIONS_EVERY_S
                    if rung is None or monotonic() >= everything_at:
                        everything_at = monotonic() + EVERYTHING_EVERY_S
                        rung = None
                    self._tell(pages, rung)
                except UnavailableError as e:
                    log.warning("database_unavailable", reason=str(e), retry_in_s=RETRY_S)
                    ear.close()
                    threading.Event().wait(RETRY_S)
        finally:
            ear.close()

    def _still_open(self) -> list[Page]:
        """The pages; the thread ends with the last of them, in the same breath in which it is no longer there."""
        with self._lock:
            if self._is_closed or not self._pages:
                self._thread = None
                return []
            return list(self._pages)

    def _hear(self, ear: store.Ear) -> frozenset[int] | None:
        rung = ear.hear(LISTEN_S)
        until = monotonic() + GATHER_S
        while rung and (left := until - monotonic()) > 0:
            more = ear.hear(left)
            rung = None if more is None else rung | more
        return rung

    def _tell(self, pages: list[Page], rung: frozenset[int] | None) -> None:
        """Reads once for each person whom it concerns, however many pages that person has open.

        All telling is done by this thread, so that no page ends with the older of two readings.
        """
        concerned = self._whom(pages, rung)
        told: dict[int, News] = {}
        for page in pages:
            if (user_id := page.caller.user_id) in concerned:
                if user_id not in told:
                    told[user_id] = read_news(page.caller)
                page.tell(told[user_id])

    def _whom(self, pages: list[Page], rung: frozenset[int] | None) -> frozenset[int]:
        """Who sees one of these patients, who has seen one until now, and whose page is new."""
        everybody = frozenset(page.caller.user_id for page in pages)
        if rung is None:
            return everybody
        concerned = frozenset(page.caller.user_id for page in pages if page.is_fresh or page.patients & rung)
        if not rung:
            return concerned
        with transaction(self._clinic.pool) as conn:
            return concerned | store.users_seeing(conn, rung, among=everybody)

    def _end_signed_out(self, pages: list[Page]) -> None:
        in_force = sessions.in_force(
            self._clinic.pool, [page.caller.session.token_hash for page in pages], now=self._clinic.now()
        )
        for page in pages:
            if page.caller.session.token_hash not in in_force:
                page.end(is_signed_out=True)
