"""`/p/{patient_id}/rules`: by which rules one patient is judged, with which numbers, and what a doctor decides about them.

Every form is an ordinary one and works without scripts. What presets propose is shown beside what holds; a doctor sets it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from server.people import presets, thresholds
from server.people.decisions import NOTE_MAX
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.people.presets import Applying
from server.people.thresholds import THE_RULES_OWN, Setting
from server.rules.own_numbers import Number, is_watched, numbers_of
from server.rules.presets import catalog_presets
from server.rules.rule import Rule, UnnumberedRule
from server.store import thresholds as store
from server.store import worklist
from server.store.postgres import transaction
from server.store.rule_book import in_force
from server.store.thresholds import OwnVersion
from server.web.backtest_page import label
from server.web.record_pages import PatientId
from server.web.rendering import render, words_of
from server.web.rows import ASSESSED_FOR
from server.web.words import Words, mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/p/{patient_id}/rules", include_in_schema=False)

_WATCH: Final[Mapping[str, bool | None]] = {"as_the_rule_says": None, "yes": True, "no": False}
_WHY: Final = mark("Nothing was changed: say why this patient needs other numbers.")
_MISFIT: Final = mark("Nothing was changed: these numbers do not fit the rule.")

Watch = Literal["as_the_rule_says", "yes", "no"]
RuleId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Token = Annotated[str, Form(max_length=256)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One rule as it holds for the patient. `numbers`: each with its label, the rule's value, and the patient's own or none."""

    rule: Rule
    own: OwnVersion | None
    is_watched: bool
    numbers: tuple[tuple[Number, str, float | None], ...]

    @property
    def version(self) -> int:
        return THE_RULES_OWN if self.own is None else self.own.version


@router.get("")
def show_rules(caller: SignedIn, request: Request, patient_id: PatientId) -> Response:
    return _page(caller, request, patient_id)


@router.post("/presets")
def apply_presets(caller: SignedIn, request: Request, patient_id: PatientId, csrf_token: Token = "") -> Response:
    check_form(caller, request, csrf_token)
    applying = Applying(
        patient_id=patient_id,
        user_id=caller.user_id,
        login=caller.session.login,
        role=caller.session.role,
        now=caller.now,
    )
    with transaction(caller.pool) as conn:
        rules = in_force(conn)
    try:
        presets.apply(caller.pool, applying, rules=rules, presets=catalog_presets())
    except NotAClinicianError:
        return _page(caller, request, patient_id, told=_only_doctors(words_of(request, caller)), status=403)
    return RedirectResponse(f"/p/{patient_id}/rules", status_code=303)


@router.post("/{rule_id}")
def set_numbers(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    rule_id: RuleId,
    if_match: Annotated[int, Form(ge=0, le=2**31 - 1)],
    watch: Annotated[Watch, Form()],
    name: Annotated[list[str] | None, Form(max_length=16)] = None,
    number: Annotated[list[str] | None, Form(max_length=16)] = None,
    reason: Annotated[str, Form(max_length=NOTE_MAX, pattern=r"^[^\x00]*$")] = "",
    csrf_token: Token = "",
) -> Response:
    """`name` and `number` in pairs; an empty number is the rule's."""
    check_form(caller, request, csrf_token)
    words = words_of(request, caller)
    try:
        setting = Setting(
            patient_id=patient_id,
            rule_id=rule_id,
            version=if_match,
            parameters={n: float(text) for n, text in zip(name or (), number or (), strict=True) if text.strip()},
            is_watched=_WATCH[watch],
            reason=reason.strip(),
            user_id=caller.user_id,
            login=caller.session.login,
            role=caller.session.role,
            now=caller.now,
        )
        thresholds.set_thresholds(caller.pool, setting)
    except NotAClinicianError:
        return _page(caller, request, patient_id, told=_only_doctors(words), status=403)
    except (StaleVersionError, DecisionConflictError):
        told = words.say("Nothing was changed: somebody else has decided, or it is so already. This is how it is now.")
        return _page(caller, request, patient_id, told=told, status=412)
    except (MalformedError, ValueError) as e:
        is_silent = isinstance(e, MalformedError) and e.reason == "reason"
        told = words.say(_WHY if is_silent else _MISFIT)
        return _page(caller, request, patient_id, told=told, status=422)
    return RedirectResponse(f"/p/{patient_id}/rules#{rule_id}", status_code=303)


def _only_doctors(words: Words) -> str:
    return words.say("Nothing was changed: only a doctor decides by which rules a patient is judged.")


def _page(caller: Caller, request: Request, patient_id: int, *, told: str = "", status: int = 200) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        rules = in_force(conn)
        patient = worklist.find_panel_patient(
            conn, patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
        )
        if patient is None:
            raise NotOnPanelError("no such patient")
        proposed = presets.proposals(conn, patient_id, rules=rules, presets=catalog_presets(), today=caller.now.date())
        versions = store.list_versions(conn, patient_id)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    own = {each.rule_id: each for each in reversed(versions)}
    lines = [_line(rule, own.get(rule.id), words) for rule in rules.rules]
    return render(
        request,
        "own_rules.html",
        words,
        caller=caller,
        status=status,
        told=told,
        unread=unread,
        patient=patient,
        lines=sorted(lines, key=lambda line: not line.is_watched),
        proposed=[each for each in proposed if not each.is_so and not each.is_by_hand],
        kept=[each for each in proposed if each.is_by_hand],
        titles={rule.id: rule.title[words.language] for rule in rules.rules},
        preset_titles={each.id: each.title[words.language] for each in catalog_presets()},
        may_decide=caller.session.role == "doctor",
        note_max=NOTE_MAX,
    )


def _line(rule: Rule, own: OwnVersion | None, words: Words) -> Line:
    numbers = () if isinstance(rule, UnnumberedRule) else numbers_of(rule, {})
    parameters = {} if own is None else own.parameters
    return Line(
        rule=rule,
        own=own,
        is_watched=is_watched(rule, None if own is None else own.is_watched),
        numbers=tuple((each, label(each.name, words), parameters.get(each.name)) for each in numbers),
    )
