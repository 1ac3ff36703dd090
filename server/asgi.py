"""The HTTP side of the server as one ASGI app: API and pages behind one shield.

It composes and decides nothing; `server.app` runs it. Errors are answered in the voice of the door they came to: as
problem details under `/api`, as a page everywhere else.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from server.api import (
    alerts,
    asyncapi,
    break_glass,
    channels,
    claims,
    fhir,
    fhir_auth,
    fhir_bulk,
    fhir_json,
    fleet,
    follow_ups,
    health,
    login,
    metrics,
    own,
    panels,
    patients,
    plans,
    presets,
    privacy,
    problems,
    programme,
    quarantine,
    readings,
    silences,
    telling,
    thresholds,
    users,
)
from server.api import audit as audit_api
from server.api.shield import Shield, protect
from server.people.door import Clinic, GlucoseUnit, clinic_of
from server.people.erasure import CLINICAL_YEARS
from server.people.errors import PeopleError
from server.people.house import House
from server.people.looks import Looks
from server.people.rule_texts import texts_of
from server.rules.load import load_catalog
from server.store.postgres import OpenPool
from server.trust.office import ClaimOffice
from server.web import (
    account_page,
    admin_audit_page,
    admin_panels_page,
    admin_users_page,
    alert_page,
    backtest_page,
    break_glass_page,
    channels_page,
    claim_page,
    contacts_page,
    deciding,
    erasures_page,
    fleet_page,
    follow_ups_page,
    masking,
    own_browser,
    own_consents,
    own_page,
    own_plan,
    own_record,
    own_rules_page,
    patient_page,
    plan_page,
    privacy_page,
    programme_page,
    quarantine_page,
    reading_page,
    record_pages,
    rendering,
    reports_page,
    rules_page,
    signing,
    silences_page,
    welcome_page,
    worklist_news,
    worklist_page,
)
from server.web.newsroom import Newsroom
from vitals.errors import MalformedError, UnavailableError

log = structlog.get_logger()

STATIC: Final = Path(__file__).parent / "web" / "static"
ROUTERS: Final = (
    health.router,
    login.router,
    alerts.router,
    silences.router,
    telling.router,
    patients.router,
    audit_api.router,
    readings.router,
    thresholds.router,
    presets.router,
    own.router,
    follow_ups.router,
    panels.router,
    channels.router,
    users.router,
    break_glass.router,
    plans.router,
    privacy.router,
    programme.router,
    claims.router,
    fleet.router,
    quarantine.router,
    metrics.router,
    asyncapi.router,
    fhir_auth.router,
    fhir_bulk.router,
    fhir.router,
    signing.router,
    masking.router,
    account_page.router,
    admin_users_page.router,
    channels_page.router,
    contacts_page.router,
    admin_panels_page.router,
    admin_audit_page.router,
    welcome_page.router,
    worklist_page.router,
    silences_page.router,
    deciding.router,
    alert_page.router,
    worklist_news.router,
    claim_page.router,
    fleet_page.router,
    follow_ups_page.router,
    plan_page.router,
    privacy_page.router,
    erasures_page.router,
    programme_page.router,
    quarantine_page.router,
    backtest_page.router,
    break_glass_page.router,
    own_rules_page.router,
    patient_page.router,
    record_pages.router,
    reading_page.router,
    reports_page.router,
    rules_page.router,
    own_page.router,
    own_browser.router,
    own_consents.router,
    own_plan.router,
    own_record.router,
)


class Api(FastAPI):
    """FastAPI with problem details in its description."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = problems.describe(super().openapi())
        return self.openapi_schema


def create_app(
    pool: OpenPool,
    *,
    now: Callable[[], datetime],
    secure_cookies: bool,
    clinic_phone: str = "",
    public_url: str | None = None,
    house: House | None = None,
    glucose_unit: GlucoseUnit = "mmol/L",
    metrics_token: str | None = None,
    clinical_years: int = CLINICAL_YEARS,
    allow_private: bool = False,
    claim_office: ClaimOffice | None = None,
) -> FastAPI:
    """The app. `secure_cookies` promises that browsers come by TLS; `clinic_phone` is what a patient's call button dials;
    `public_url` how people reach us; without a `metrics_token` there are no metrics, without a `claim_office` no codes for new
    gateways; `clinical_years` the law has a record kept; `allow_private`: push services may be in the house's network."""
    app = _api()
    app.state.clinic = Clinic(
        pool=pool,
        now=now,
        rules=texts_of(load_catalog()),
        secure_cookies=secure_cookies,
        clinic_phone=clinic_phone,
        public_url=public_url,
        house=house,
        glucose_unit=glucose_unit,
        clinical_years=clinical_years,
        allow_private=allow_private,
    )
    app.state.newsroom = Newsroom(app.state.clinic)
    app.state.metrics_token = metrics_token
    app.state.claim_office = claim_office
    app.mount("/static", StaticFiles(directory=STATIC))
    for expected in (PeopleError, MalformedError, UnavailableError, RequestValidationError, HTTPException):
        app.add_exception_handler(expected, _answer)
    app.add_exception_handler(Exception, _answer_our_mistake)
    app.add_middleware(Looks, answer=_answer)
    app.add_middleware(Shield, is_tls=secure_cookies)
    return app


def describe() -> dict[str, Any]:
    """The HTTP API as OpenAPI 3.1, the same as `/openapi.json` says; needs no database."""
    return _api().openapi()


def _api() -> Api:
    api = Api(
        title="HomeVigil",
        summary="Alerts of people who measure at home, and the decisions about them.",
        version="1",
        docs_url=None,  # the usual pages load scripts from other hosts
        redoc_url=None,
        responses=problems.RESPONSES,
    )
    for router in ROUTERS:
        api.include_router(router)
    return api


def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, UnavailableError):
        log.warning("not_available", path_kind=_kind(request), reason=str(error))
    answers = {"api": problems.answer, "fhir": fhir_json.answer, "page": rendering.answer}
    return answers[_kind(request)](request, error)


def _answer_our_mistake(request: Request, error: Exception) -> Response:
    """Says sorry from outside the shield; whoever runs the app logs the traceback, which shows no locals."""
    answer = _answer(request, error)
    protect(answer.headers, request.url.path, is_tls=clinic_of(request).secure_cookies)
    return answer


def _kind(request: Request) -> str:
    path = request.url.path
    if path.startswith("/fhir/"):
        return "fhir"
    is_api = path.startswith("/api/") or path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json")
    return "api" if is_api else "page"
