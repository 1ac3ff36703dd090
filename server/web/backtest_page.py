"""`/rules/backtest`: what one rule, as it stands and with other numbers, would have done to the caller's own panel. Reads only.

A panel is judged while the page loads, some milliseconds a patient; the command line does the same for a clinic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.people.door import Caller, SignedIn
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
from server.store.postgres import transaction
from server.web.rendering import render, words_of
from server.web.words import Words, mark
from vitals.errors import MalformedError

router: Final = APIRouter(include_in_schema=False)

DAYS: Final = (30, 90, 180, 365)
SHOWN: Final = 50
"""Patients and wishes that are listed."""

_NAMES: Final = {
    "value": mark("limit"),
    "rises_by": mark("rise"),
    "falls_by": mark("fall"),
    "days": mark("days without a reading"),
    "measured_days": mark("measured days"),
}
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
) -> Response:
    words = words_of(request, caller)
    rules = load_catalog()
    chosen = rules.by_id(rule) if rule in rules else None
    span_days = days if days in DAYS else 90
    given, is_refused = _given(request.query_params, chosen)
    with transaction(caller.clinic.pool) as conn:
        names = store.panel(conn, user_id=caller.user_id)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    labels = {number.name: label(number.name, words) for number in _numbers(chosen)}
    outcome = None
    if chosen is not None and not is_refused and names:
        outcome = _outcome(caller, chosen, given, list(names), span_days)
    return render(
        request,
        "backtest.html",
        words,
        caller=caller,
        status=422 if is_refused else 200,
        unread=unread,
        rules=[(each.id, each.title[words.language]) for each in rules.rules],
        chosen=chosen,
        numbers=_numbers(chosen),
        labels=labels,
        spoken=lambda parameters: ", ".join(f"{labels[name]} {value:g}" for name, value in parameters.items()),
        given=given,
        days=span_days,
        choices=DAYS,
        is_refused=is_refused,
        names=names,
        outcome=outcome,
        shown=SHOWN,
    )


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


def _outcome(caller: Caller, rule: Rule, given: Mapping[str, float], patient_ids: Sequence[int], days: int) -> Outcome:
    rules = RuleSet((rule,))
    span = Span(since=caller.now - timedelta(days=days), until=caller.now)
    before: list[Replayed] = []
    after: list[Replayed] = []
    past = store.histories(
        caller.clinic.pool, patient_ids, since=loaded_from(rules, span), with_absences=looks_at_absence(rules)
    )
    for history in past:
        before.append(replay(history, rules, span, as_written=False, with_wishes=not given))
        if given:
            numbers = {rule.id: given}
            after.append(replay(history, rules, span, as_written=False, with_wishes=True, numbers=numbers))
    return Outcome(
        patients=len(before),
        readings=sum(each.readings for each in before),
        before=burdens(before, rules, span)[1],
        after=burdens(after, rules, span)[1] if given else None,
        differing=disagreements(before, after) if given else (),
        wishes=[wish for each in after or before for wish in each.wishes],
    )
