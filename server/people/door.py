"""Who stands at the HTTP door: the session behind a cookie or a bearer token, as FastAPI dependencies.

Reading asks for a session; changing something in a cookie's name asks for the session's CSRF token as well, because a
browser sends a cookie whoever wrote the page. A bearer token is sent by a program on purpose and needs none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request

from server.people import access, sessions
from server.people.erasure import CLINICAL_YEARS
from server.people.errors import ForgedRequestError, NotSignedInError
from server.people.house import House
from server.people.rule_texts import RuleText
from server.store.people import Session
from server.store.postgres import OpenPool, Pool, Walled

CSRF_HEADER: Final = "X-CSRF-Token"

GlucoseUnit = Literal["mmol/L", "mg/dL"]
"""In which the clinic reads glucose; the other stands beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """What every request needs of the house. It is kept in `app.state.clinic`."""

    pool: OpenPool
    now: Callable[[], datetime]
    rules: Mapping[str, RuleText]
    secure_cookies: bool
    clinic_phone: str
    glucose_unit: GlucoseUnit = "mmol/L"
    house: House | None = None
    public_url: str | None = None
    """How people reach us, without a slash at its end; where it is not said, as the request says it."""
    allow_private: bool = False
    """Whether what is sent to an address that somebody gave may go to one in the house's own network."""
    clinical_years: int = CLINICAL_YEARS
    """How long the law has a record kept after its last entry."""

    @property
    def cookie_name(self) -> str:
        """A `__Host-` cookie cannot be set by a neighbouring host; browsers take it over TLS only."""
        return "__Host-homevigil" if self.secure_cookies else "homevigil"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who is signed in, at the instant of the request."""

    clinic: Clinic
    session: Session
    now: datetime

    @property
    def user_id(self) -> int:
        return self.session.user_id

    @property
    def house(self) -> Pool:
        """For what is of no patient: how the house is, and who may come in. Whoever uses it says whom it shows to whom."""
        return self.clinic.pool

    @property
    def pool(self) -> Pool:
        """What is read and written in this person's name goes through here, and meets this person's patients alone."""
        return Walled(pool=self.clinic.pool, user_id=self.user_id, now=self.clinic.now)


def address(request: Request) -> str:
    """Under what address we are reached, without a slash at its end."""
    return clinic_of(request).public_url or str(request.base_url).rstrip("/")


def clinic_of(request: Request) -> Clinic:
    clinic = request.app.state.clinic
    assert isinstance(clinic, Clinic), type(clinic)
    return clinic


def signed_in(request: Request) -> Caller:
    """Raises `NotSignedInError`."""
    return _find(request, is_touching=True)


def looking_on(request: Request) -> Caller:
    """As `signed_in`, for what a page asks by itself: it does not keep the session alive."""
    return _find(request, is_touching=False)


def changing(request: Request) -> Caller:
    """As `signed_in`, for requests that change something. Raises `ForgedRequestError` too."""
    caller = _find(request, is_touching=True)
    if _bearer(request) is None:
        check_form(caller, request, request.headers.get(CSRF_HEADER))
    return caller


def check_same_origin(request: Request) -> None:
    """Raises `ForgedRequestError` for what a browser says was sent by another site's page."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise ForgedRequestError("the request was sent by another site")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        raise ForgedRequestError("the request was sent by another site")


def check_form(caller: Caller, request: Request, csrf_token: str | None) -> None:
    """What changes something was sent by one of our own pages, and by this session's. Raises `ForgedRequestError`."""
    check_same_origin(request)
    sessions.check_csrf(caller.session, csrf_token)


def address_of(request: Request) -> str:
    """Where the request came from, as far as the transport knows."""
    return request.client.host if request.client else "unknown"


def _find(request: Request, *, is_touching: bool) -> Caller:
    clinic = clinic_of(request)
    token = _bearer(request) or request.cookies.get(clinic.cookie_name)
    if token is None:
        raise NotSignedInError("sign in first")
    now = clinic.now()
    session = sessions.find(clinic.pool, token, now=now, is_touching=is_touching)
    caller = Caller(clinic=clinic, session=session, now=now)
    request.state.caller = caller  # for `looks`, which writes down what the caller is shown, and for pages that refuse
    access.admit(session.role, request.method, getattr(request.scope.get("route"), "path", request.url.path))
    return caller


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


AClinic = Annotated[Clinic, Depends(clinic_of)]
SignedIn = Annotated[Caller, Depends(signed_in)]
LookingOn = Annotated[Caller, Depends(looking_on)]
Changing = Annotated[Caller, Depends(changing)]
