"""`/`: who needs attention. Decisions made from a row are `deciding`'s, what is new is told by `worklist_news`.

A list of hundreds comes in parts, each when it is scrolled to, so that the first page is there at once. There is no decision
about many rows together on purpose: each of these alerts is somebody, and a press that closes forty of them closes the one that
mattered.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from server.people.door import Caller, SignedIn
from server.people.errors import NotOnPanelError
from server.people.rule_texts import text_of
from server.store import worklist, worklist_rows
from server.store.postgres import transaction
from server.watch import sight
from server.web.fleet_rows import say_gateways, say_meters, say_patients
from server.web.newsroom import known, short_name
from server.web.rendering import render, words_of
from server.web.rooms import home_of
from server.web.rows import AlertLine, alert_line, build_row, build_rows, list_cases
from server.web.silences_page import list_lines
from server.web.words import Words
from server.web.worklist_order import TABS, Case, Filters, Tab, filters_of

router: Final = APIRouter(include_in_schema=False)

SHOWN_FIRST: Final = 20
SHOWN_MAX: Final = 2000
MEDIAN_OVER: Final = timedelta(days=7)
CLOCKS_MAX: Final = 3

TheFilters = Annotated[Filters, Depends(filters_of)]
Shown = Annotated[int, Query(ge=1, le=SHOWN_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One entry of a filter's list."""

    value: str
    name: str


@router.get("/")
def show_worklist(
    caller: SignedIn, request: Request, filters: TheFilters, tab: Tab = "attention", shown: Shown = SHOWN_FIRST
) -> Response:
    home = home_of(caller.session.role)
    if home != "/":
        return RedirectResponse(home, status_code=303)
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        everybody = list_cases(conn, caller, Filters())
        cases = [case for case in everybody if filters.let_through(case.member, case.alerts)]
        mine = [case for case in cases if case.is_in(tab)] if tab != "problems" else []
        rows = build_rows(conn, caller, words, mine[:shown])
        median = worklist_rows.median_answer(conn, user_id=caller.user_id, since=caller.now - MEDIAN_OVER)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    problems = _problems(caller, words, filters) if tab == "problems" else None
    context = {
        "unread": unread,
        "tab": tab,
        "rows": rows,
        "problems": problems,
        "silenced": list_lines(caller, words) if tab == "snoozed" else (),
        "counts": {each: sum(case.is_in(each) for case in cases) for each in TABS if each != "problems"},
        "patients": len(everybody),
        "attention": sum(case.tab == "attention" for case in everybody),
        "median": None if median is None else words.lasting(median),
        "clocks": _clocks(everybody, caller, words),
        "addresses": {each: _address("/", each, filters) for each in TABS},
        "all_addresses": {"here": _address("/", tab, Filters())},
        "filters": filters,
        "choices": _choices(everybody, caller, words),
        "elsewhere": _elsewhere(everybody, mine[:shown]),
        **_more(tab, filters, shown, len(mine)),
    }
    return render(request, "worklist.html", words, caller=caller, **context)


@router.get("/worklist/rows")
def show_more_rows(
    caller: SignedIn,
    request: Request,
    filters: TheFilters,
    begin: Annotated[int, Query(ge=0, le=SHOWN_MAX)],
    tab: Tab = "attention",
) -> Response:
    """The part of a list that follows the first `begin` rows, as it is now."""
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        mine = [case for case in list_cases(conn, caller, filters) if case.is_in(tab)]
        end = begin + SHOWN_FIRST
        rows = build_rows(conn, caller, words, mine[begin:end])
    return render(request, "rows.html", words, caller=caller, rows=rows, tab=tab, **_more(tab, filters, end, len(mine)))


@router.get("/worklist/row/{patient_id}")
def show_row(caller: SignedIn, request: Request, patient_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> Response:
    """One patient's row as it is now, for a page that heard that it has changed."""
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        row = build_row(conn, caller, words, patient_id)
    if row is None:
        raise NotOnPanelError("no such patient")
    return render(request, "row.html", words, caller=caller, row=row, told="", is_refused=False)


def _address(path: str, tab: Tab, filters: Filters, **rest: object) -> str:
    return f"{path}?{urlencode({'tab': tab, **filters.parts(), **rest})}"


def _more(tab: Tab, filters: Filters, shown: int, total: int) -> Mapping[str, Any]:
    """Where what follows is asked for: by the page itself, or by a press where there are no scripts."""
    if shown >= total:
        return {"more": "", "more_page": "", "left": 0}
    return {
        "more": _address("/worklist/rows", tab, filters, begin=shown),
        "more_page": _address("/", tab, filters, shown=min(shown + SHOWN_FIRST, SHOWN_MAX)),
        "left": total - shown,
    }


def _elsewhere(cases: Sequence[Case], shown: Sequence[Case]) -> str:
    """What is open and not on the page, so that the page can tell what is new from what it merely does not show."""
    on_page = {case.member.patient_id for case in shown}
    return json.dumps(
        {
            str(case.member.patient_id): known({short_name(each.episode_id): each.version for each in case.alerts})
            for case in cases
            if case.alerts and case.member.patient_id not in on_page
        },
        separators=(",", ":"),
    )


def _clocks(cases: Sequence[Case], caller: Caller, words: Words) -> list[AlertLine]:
    """Urgent alerts that wait for a recorded decision, the first to run out first."""
    waiting = [each for case in cases for each in case.alerts if each.answer_by is not None and not each.answered_at]
    waiting.sort(key=lambda each: each.answer_by or caller.now)
    return [alert_line(caller, words, each) for each in waiting[:CLOCKS_MAX]]


def _choices(cases: Sequence[Case], caller: Caller, words: Words) -> Mapping[str, list[Choice]]:
    """What can be filtered by: what there is on this panel, and nothing else."""
    doctors = {str(case.member.doctor_id): case.member.doctor_name or "" for case in cases if case.member.doctor_id}
    rules = {
        each.rule_id: words.pick(text_of(caller.clinic.rules, each.rule_id).title)
        for case in cases
        for each in case.alerts
    }
    conditions = sorted({code for case in cases for code in case.member.conditions})
    return {
        "doctor": [Choice(value=key, name=name) for key, name in sorted(doctors.items(), key=lambda each: each[1])],
        "condition": [Choice(value=code, name=code) for code in conditions],
        "rule": [Choice(value=key, name=name) for key, name in sorted(rules.items(), key=lambda each: each[1])],
    }


def _problems(caller: Caller, words: Words, filters: Filters) -> Mapping[str, Any]:
    """What keeps readings of the panel from arriving: patients of whom nothing is heard, their meters, their gateways."""
    seen = sight.see_fleet(caller.house, caller.pool, caller.session, now=caller.now)
    text = filters.text.casefold()
    return {
        "patients": [each for each in say_patients(seen, words) if text in each.name.casefold()],
        "meters": [
            each
            for each in say_meters(seen, words)
            if each.gravity != "information" and (not text or any(text in name.casefold() for _, name in each.owners))
        ],
        "gateways": [] if text else [each for each in say_gateways(seen, words) if each.gravity != "information"],
    }
