"""How the server speaks to whoever runs it: one JSON object a line on stderr, tracebacks without locals and without values.

A database's error text quotes the row that it refused, a parser's the text that it could not read: so of an exception only its
type, its SQLSTATE and its place are logged, and the words only of types whose words are known to hold no patient's value.
"""

import logging
import sys
from collections.abc import Iterator
from typing import Any, Final

import structlog

SPOKEN: Final = {
    "UnavailableError",
    "SchemaError",
    "ConnectionRefusedError",
    "PermissionError",
    "FileNotFoundError",
    "ImportError",
}
"""Exceptions whose words speak of the machine, never of a person."""

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def log_as_json(level: str) -> None:
    """Set structlog up, and send what libraries log through the same door, from warning up."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_without_values),
    ]
    render = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
        )
    )
    logging.basicConfig(level=max(LEVELS[level], logging.WARNING), handlers=[handler], force=True)
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # whoever waits for a connection says so, once


_frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def _without_values(exc_info: Any) -> list[dict[str, Any]]:
    """The chain of exceptions, outermost first, each by type and place."""
    told = _frames(exc_info)
    for each in told:
        _silence(each)
    sqlstate = getattr(exc_info[1], "sqlstate", None)
    return [{**told[0], "sqlstate": sqlstate}, *told[1:]] if told and sqlstate else told


def _silence(exception: dict[str, Any]) -> None:
    for each in (exception, *_members(exception)):
        if each["exc_type"] not in SPOKEN:
            each["exc_value"] = "(not logged: it may hold a patient's value)"
        each.pop("exc_notes", None)
        each.pop("syntax_error", None)


def _members(exception: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The exceptions inside a group, all the way down."""
    for group in exception.get("exceptions") or ():
        for each in group:
            yield each
            yield from _members(each)
