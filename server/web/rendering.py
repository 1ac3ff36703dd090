"""Templates to answers: which language, what every page carries, and what a page says when something went wrong."""

from collections.abc import Iterator, Mapping
from functools import cache
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from server.people import access, errors
from server.people.door import Caller
from server.web.masking import shown_by
from server.web.rooms import rooms_of
from server.web.words import (
    LANGUAGES,
    PRIORITIES,
    RESOLUTIONS,
    SEXES,
    STATES,
    SYMPTOMS,
    Language,
    Words,
    choose_language,
    mark,
    translations,
)
from vitals.errors import MalformedError, UnavailableError

TEMPLATES: Final = Path(__file__).parent / "templates"
LANGUAGE_COOKIE: Final = "homevigil_language"
A_YEAR_S: Final = 365 * 24 * 3600
HERE: Final = "<!-- here -->"
"""Where a template leaves room for what takes its time; see `with_parts`."""

NOT_AVAILABLE: Final = mark("The service does not answer at the moment. Try again shortly; readings are not lost.")
_OTHER_ROLE: Final = mark("This page is for people in another role. What is yours is in the line at the top.")
_EMERGENCY: Final = mark(
    "This record is open to you in an emergency alone: what outlives the emergency is for those who look after the patient."
    " Ask the patient's doctor, or an admin to put the patient on your panel."
)
_APOLOGIES: Final = {
    400: mark("The request could not be understood."),
    403: mark("The request was refused, because it did not come from a page of this session. Reload and try again."),
    404: mark("There is no such page, or it is not on your panel."),
    405: mark("There is no such page, or it is not on your panel."),
    409: mark("It is no longer open."),
    413: mark("What was sent is too long."),
    422: mark("The request could not be understood."),
    429: mark("Too many failed attempts to sign in. Wait a quarter of an hour."),
    500: mark("That was our mistake. It has been logged; try again."),
    503: NOT_AVAILABLE,
}


def words_for(request: Request, own_language: str | None = None) -> Words:
    """The language asked for in the address, else chosen before, else the person's own, else the browser's."""
    return Words(
        language=choose_language(
            request.query_params.get("lang"),
            request.cookies.get(LANGUAGE_COOKIE),
            own_language,
            accept=request.headers.get("Accept-Language", ""),
        )
    )


def words_of(request: Request, caller: Caller) -> Words:
    """The language of somebody who is signed in."""
    return words_for(request, caller.session.language)


def render(
    request: Request,
    template: str,
    words: Words,
    *,
    caller: Caller | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """One template as an answer, in the language of `words`; what is about patients writes `named(name)`, `phoned(phone)`."""
    shown = shown_by(request)
    html = part(
        template,
        words,
        caller=caller,
        rooms=rooms_of(caller.session.role) if caller else (),
        csrf_token=caller.session.csrf_token if caller else "",
        switches=_switches(request),
        path=request.url.path,
        PRIORITIES=PRIORITIES,
        STATES=STATES,
        RESOLUTIONS=RESOLUTIONS,
        SEXES=SEXES,
        SYMPTOMS=SYMPTOMS,
        named=shown.name,
        phoned=shown.phone,
        is_masked=shown.is_masked,
        hides_names=caller is not None and access.may(caller.session.role, "POST", "/masking"),
        **context,
    )
    answer = HTMLResponse(html, status_code=status, headers=dict(headers or {}))
    if request.query_params.get("lang") == words.language:
        answer.set_cookie(LANGUAGE_COOKIE, words.language, max_age=A_YEAR_S, httponly=True, samesite="lax")
    return answer


def part(template: str, words: Words, **context: Any) -> str:
    """One template as text, for what is less than a page."""
    return _environment(words.language).get_template(template).render(w=words, **context)


def with_parts(page: HTMLResponse, parts: Iterator[str]) -> StreamingResponse:
    """The page with `parts` in the place of its `HERE`, each sent as soon as it is made. None is made for who has gone away.

    The first, which takes no time, goes with the begin of the page.
    """
    before, after = bytes(page.body).decode().split(HERE)
    answer = StreamingResponse(
        chain((before + next(parts),), parts, (after,)), page.status_code, media_type="text/html"
    )
    answer.raw_headers += [header for header in page.raw_headers if header[0] == b"set-cookie"]
    return answer


def is_htmx(request: Request) -> bool:
    """Whether a part of a page is wanted rather than a page."""
    return request.headers.get("HX-Request") == "true"


def answer(request: Request, error: Exception) -> Response:
    """The page for anything that an endpoint raised. Who is not signed in is led to where one can be."""
    if isinstance(error, errors.NotSignedInError):
        return _to_sign_in(request)
    status = _status(error)
    caller: Caller | None = getattr(request.state, "caller", None)
    words = words_of(request, caller) if caller else words_for(request)
    apology = words.say(_apology(error, status))
    if is_htmx(request):
        # Said on top of what was to be replaced; what a page asks by itself leaves it as it is and asks again.
        swap = "none" if request.method == "GET" else "afterbegin"
        return render(request, "told.html", words, status=status, headers={"HX-Reswap": swap}, told=apology)
    return render(
        request,
        "apology.html",
        words,
        caller=caller,
        status=status,
        unread=0,  # not looked up: what is said here must not depend on the database
        apology=apology,
    )


def dialled(phone: str) -> str:
    """A number as a `tel:` address takes it."""
    return "".join(character for character in phone if character in "+0123456789")


def _to_sign_in(request: Request) -> Response:
    if is_htmx(request):
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if request.method != "GET" or request.url.path == "/":
        return RedirectResponse("/login", status_code=303)
    return RedirectResponse("/login?" + urlencode({"next": request.url.path}), status_code=303)


def _apology(error: Exception, status: int) -> str:
    if isinstance(error, errors.OnlyInEmergencyError):
        return _EMERGENCY
    return _OTHER_ROLE if isinstance(error, errors.WrongRoleError) else _APOLOGIES.get(status, _APOLOGIES[500])


def _status(error: Exception) -> int:
    match error:
        case HTTPException():
            return error.status_code
        case RequestValidationError():
            # A path that is no number or id is a page that does not exist.
            return 404 if any(each["loc"][:1] == ("path",) for each in error.errors()) else 422
        case MalformedError():
            return HTTPStatus.UNPROCESSABLE_ENTITY
        case errors.ForgedRequestError() | errors.WrongRoleError():
            return HTTPStatus.FORBIDDEN
        case errors.NotOnPanelError():
            return HTTPStatus.NOT_FOUND
        case errors.DecisionConflictError():
            return HTTPStatus.CONFLICT
        case errors.TooManyAttemptsError():
            return HTTPStatus.TOO_MANY_REQUESTS
        case UnavailableError():
            return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _switches(request: Request) -> Mapping[Language, str]:
    """The address of this very page in each language."""
    kept = [(key, value) for key, value in request.query_params.multi_items() if key != "lang"]
    return {language: "?" + urlencode([*kept, ("lang", language)]) for language in LANGUAGES}


@cache
def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    environment.filters["dialled"] = dialled
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    return environment
