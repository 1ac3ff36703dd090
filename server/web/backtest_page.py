"""`/rules/backtest`: what one rule, as it stands and with other numbers, would have done to the caller's own panel. Reads only.

A panel is judged while the page loads, some milliseconds a patient. The page says how far it is, and whoever leaves it has
cancelled. The command line does the same for a clinic.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.people.door import SignedIn
from server.rules.backtest import (
    Burden,
    Disagreement,
    Replayed,
    Span,
    Wish,
    burdens,
    disagreements,
    loaded_from,
    replay,
)
from server.rules.engine import looks_at_absence
from server.rules.load import load_catalog
from server.rules.own_numbers import Number, check_parameters, numbers_of
from server.rules.rule import Rule, RuleSet, UnnumberedRule
from server.rules.signals import SOURCES
from server.store import backtests as store
from server.store import worklist
from server.store.postgres import Pool, transaction
from server.web.masking import names_of
from server.web.rendering import HERE, NOT_AVAILABLE, part, render, with_parts, words_of
from server.web.words import Words, mark
from vitals.errors import MalformedError, UnavailableError

log = structlog.get_logger()
router: Final = APIRouter(include_in_schema=False)

DAYS: Final = (30, 90, 180, 365)
STEPS: Final = 50
"""How often, at most, a page says how far it is."""
SHOWN: Final = 50
"""Patients and wishes that are listed."""

_NAMES: Final = {
    "value": mark("limit"),
    "rises_by": mark("rise"),
    "falls_by": mark("fall"),
    "days": mark("days without a reading"),
    "measured_days": mark("measured days"),
}
_TRIED: Final = "</section>"
"""Closes what `backtest_trying.html` has opened."""
_PREFIX: Final = "n_"
"""Of the fields in which other numbers are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The rule as it stands, and with other numbers if any were given."""

    patients: int
    readings: int
    before: Burden
    after: Burden | None
    differing: Sequence[Disagreement]
    wishes: Sequence[Wish]


@router.get("/rules/backtest")
def show(
    caller: SignedIn,
    request: Request,
    rule: Annotated[str, Query(max_length=64)] = "",
    days: Annotated[int, Query()] = 90,
    is_cancelled: Annotated[bool, Query(alias="cancelled")] = False,
) -> Response:
    words, named = words_of(request, caller), names_of(request)
    rules = load_catalog()
    chosen = rules.by_id(rule) if rule in rules else None
    span_days = days if days in DAYS else 90
    given, is_refused = _given(request.query_params, chosen)
    with transaction(caller.pool) as conn:
        names = store.panel(conn, user_id=caller.user_id)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    labels = {number.name: label(number.name, words) for number in _numbers(chosen)}
    is_tried = chosen is not None and not is_refused and not is_cancelled and bool(names)
    context: dict[str, Any] = {
        "chosen": chosen,
        "labels": labels,
        "spoken": lambda parameters: ", ".join(f"{labels[name]} {value:g}" for name, value in parameters.items()),
        "days": span_days,
        "names": {patient_id: named(name) for patient_id, name in names.items()},
        "shown": SHOWN,
    }
    page = render(
        request,
        "backtest.html",
        words,
        caller=caller,
        status=422 if is_refused else 200,
        unread=unread,
        rules=[(each.id, each.title[words.language]) for each in rules.rules],
        numbers=_numbers(chosen),
        given=given,
        choices=DAYS,
        is_refused=is_refused,
        is_tried=is_tried,
        is_cancelled=is_cancelled,
        here=HERE,
        **context,
    )
    if chosen is None or not is_tried:
        return page
    cancel = "?" + urlencode([*request.query_params.multi_items(), ("cancelled", "true")])
    span = Span(since=caller.now - timedelta(days=span_days), until=caller.now)
    steps = tried(caller.pool, chosen, given, list(names), span)
    return with_parts(page, _parts(words, steps, cancel, context))


def _parts(words: Words, steps: Iterator["int | Outcome"], cancel: str, context: Mapping[str, Any]) -> Iterator[str]:
    """How far it is, as often as that changes, and at the end what came of it."""
    of = len(context["names"])
    yield part("backtest_trying.html", words, cancel=cancel) + part("backtest_step.html", words, done=0, of=of)
    try:
        for each in steps:
            if isinstance(each, Outcome):
                yield _TRIED
                yield part("backtest_outcome.html", words, outcome=each, **context)
            else:
                yield part("backtest_step.html", words, done=each, of=of)
    except UnavailableError as e:  # the page has begun: what is wrong can only be said in it
        log.warning("not_available", path_kind="page", reason=str(e))
        yield _TRIED
        yield part("told.html", words, told=words.say(NOT_AVAILABLE))


def _given(query: Mapping[str, str], rule: Rule | None) -> tuple[dict[str, float], bool]:
    """The numbers that differ from the rule's, and whether something was given that is none or does not fit."""
    given: dict[str, float] = {}
    for number in _numbers(rule):
        text = query.get(_PREFIX + number.name, "").strip()
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            return {}, True
        if value != number.value:
            given[number.name] = value
    if rule is not None and given:
        try:
            check_parameters(rule, given)
        except MalformedError:
            return given, True
    return given, False


def _numbers(rule: Rule | None) -> tuple[Number, ...]:
    return () if rule is None or isinstance(rule, UnnumberedRule) else numbers_of(rule, {})


def label(name: str, words: Words) -> str:
    """A signal by its clinical name; else what the rule's file calls the number."""
    for signal, source in SOURCES.items():
        if signal == name:
            return source.words[words.language]
    return words.say(_NAMES[name])


def tried(
    pool: Pool, rule: Rule, given: Mapping[str, float], patient_ids: Sequence[int], span: Span
) -> Iterator["int | Outcome"]:
    """How many patients have been judged, some fifty times on the way, and then the outcome. Closing it ends the judging."""
    rules = RuleSet((rule,))
    before: list[Replayed] = []
    after: list[Replayed] = []
    past = store.histories(pool, patient_ids, since=loaded_from(rules, span), with_absences=looks_at_absence(rules))
    try:
        for history in past:
            before.append(replay(history, rules, span, as_written=False, with_wishes=not given))
            if given:
                numbers = {rule.id: given}
                after.append(replay(history, rules, span, as_written=False, with_wishes=True, numbers=numbers))
            if len(before) % (len(patient_ids) // STEPS + 1) == 0:
                yield len(before)
        yield _outcome(rules, span, before, after)
    except GeneratorExit:
        log.info("backtest_cancelled", judged=len(before), patients=len(patient_ids))
        raise


def _outcome(rules: RuleSet, span: Span, before: Sequence[Replayed], after: Sequence[Replayed]) -> Outcome:
    return Outcome(
        patients=len(before),
        readings=sum(each.readings for each in before),
        before=burdens(before, rules, span)[1],
        after=burdens(after, rules, span)[1] if after else None,
        differing=disagreements(before, after) if after else (),
        wishes=[wish for each in after or before for wish in each.wishes],
    )
