"""Structured log lines as JSON on stderr: ids of readings, meters and gateways, never a value, never locals.

A meter that fails every half a minute for a year must not fill the card: the same line is said a few times an hour, and the next
one says how many were left out. The last lines stay in memory, for whoever asks for a diagnosis.
"""

import logging
import os
import re
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, TextIO

import structlog

HOUR_S: Final = 3600.0
TROUBLES_AN_HOUR: Final = 6
"""The same warning or error: one in ten minutes shows that it goes on."""
NEWS_AN_HOUR: Final = 60
"""The same piece of news: a meter is read once a minute at most (`gateway.rota`)."""
LINES_KNOWN: Final = 512
"""Different lines that are counted; the one that was said longest ago is forgotten first."""
LINES_KEPT: Final = 200
"""For a diagnosis; some 60 KiB."""

_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)?")
_SYSLOG: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_tail: deque[str] = deque(maxlen=LINES_KEPT)


def configure(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """For the whole process; libraries' own warnings come out in the same form. What was written before is forgotten."""
    _tail.clear()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    out = sys.stderr if stream is None else stream
    handler = _Lines(out, is_journal=_is_journal(out))
    handler.addFilter(Sparing())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("gateway").setLevel(level)


def set_level(name: str) -> None:
    """Of our own lines: `debug`, `info`, `warning` or `error`, from now on."""
    logging.getLogger("gateway").setLevel(name.upper())


def last_lines() -> list[str]:
    """The last lines that were written, oldest first."""
    return list(_tail)


class Sparing(logging.Filter):
    """Lets the same line through a few times an hour. Two lines are the same if they differ in numbers and tallies alone; a
    meter's or a reading's id makes another line. What is said at debug was asked for, and is not counted."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._said: OrderedDict[int, _Said] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return True
        said = self._known(_sameness(record))
        bound = TROUBLES_AN_HOUR if record.levelno >= logging.WARNING else NEWS_AN_HOUR
        if not said.may_be_said(self._now_s(), bound):
            return False
        if said.left_out and isinstance(record.msg, dict):
            record.msg["left_out"] = said.left_out
        said.left_out = 0
        return True

    def _known(self, line: int) -> "_Said":
        said = self._said.get(line)
        if said is None:
            said = self._said[line] = _Said()
            if len(self._said) > LINES_KNOWN:
                self._said.popitem(last=False)
        self._said.move_to_end(line)
        return said


class _Said:
    """How often one line was said in this hour of its own, and left out since it was last said."""

    __slots__ = ("_since_s", "_times", "left_out")

    def __init__(self) -> None:
        self._since_s = float("-inf")
        self._times = 0
        self.left_out = 0

    def may_be_said(self, now_s: float, bound: int) -> bool:
        if now_s - self._since_s >= HOUR_S:
            self._since_s, self._times = now_s, 0
        if self._times >= bound:
            self.left_out += 1
            return False
        self._times += 1
        return True


def _sameness(record: logging.LogRecord) -> int:
    """A number for what two lines have in common: the words themselves would take a megabyte."""
    if not isinstance(record.msg, dict):
        return hash((record.name, record.levelno, str(record.msg)))
    words = (
        (name, _NUMBERS.sub("#", value) if name == "why" else value)
        for name, value in record.msg.items()
        if isinstance(value, str) and name != "timestamp"
    )
    return hash((record.name, record.levelno, frozenset(words)))


class _Lines(logging.StreamHandler[TextIO]):
    """Writes each line and keeps the last ones. The journal is told how grave a line is, in its own way (sd-daemon(3))."""

    def __init__(self, stream: TextIO, *, is_journal: bool) -> None:
        super().__init__(stream)
        self._is_journal = is_journal

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        _tail.append(line)
        return f"<{_SYSLOG.get(record.levelno, 6)}>{line}" if self._is_journal else line


def _is_journal(stream: TextIO) -> bool:
    """Whether `stream` goes to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    told = os.environ.get("JOURNAL_STREAM")
    if not told:
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return told == f"{found.st_dev}:{found.st_ino}"
