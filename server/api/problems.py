"""Every error of the API as an RFC 9457 problem: what went wrong and what to do, never a value that was sent."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from server.people import errors
from server.people.erasure import HeldError
from vitals.errors import MalformedError, UnavailableError

MEDIA_TYPE: Final = "application/problem+json"

_STATUSES: Final[Mapping[type[Exception], tuple[int, str]]] = {
    errors.NotSignedInError: (401, "Not signed in"),
    errors.WrongPasswordError: (401, "Not signed in"),
    errors.ForgedRequestError: (403, "Request refused"),
    errors.WrongRoleError: (403, "For other roles"),
    errors.NotAClinicianError: (403, "For clinicians"),
    errors.NotAnAuditorError: (403, "For auditors"),
    errors.NotOnPanelError: (404, "Not found"),
    errors.DecisionConflictError: (409, "No longer open"),
    errors.LoginTakenError: (409, "Taken"),
    HeldError: (409, "Held"),
    errors.NothingToUndoError: (409, "Nothing to undo"),
    errors.KeyReusedError: (422, "Key used before"),
    errors.StaleVersionError: (412, "Changed since it was read"),
    errors.MissingVersionError: (428, "Version needed"),
    errors.TooManyAttemptsError: (429, "Too many attempts"),
    MalformedError: (422, "Not understood"),
    UnavailableError: (503, "Not available now"),
}


class Problem(BaseModel):
    """RFC 9457 problem details. Further members depend on the problem."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": description}
    for status, description in (
        (400, "The body could not be read"),
        (401, "Not signed in"),
        (403, "For other roles"),
        (413, "The body is longer than 64 KiB"),
        (422, "Not understood"),
        (503, "The database does not answer"),
    )
}
"""What any endpoint may answer."""

FORBIDDEN: Final[dict[int | str, dict[str, Any]]] = {
    403: {**RESPONSES[400], "description": "The CSRF token is missing"}
}
NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {**RESPONSES[400], "description": "It does not exist, or is not on your panel"}
}
PANEL: Final[dict[int | str, dict[str, Any]]] = {
    **FORBIDDEN,
    404: {**RESPONSES[400], "description": "There is no such patient"},
    409: {**RESPONSES[400], "description": "It is so already, or was never so"},
}
ACCOUNT: Final[dict[int | str, dict[str, Any]]] = {
    **FORBIDDEN,
    404: {**RESPONSES[400], "description": "There is no such account"},
    409: {
        **RESPONSES[400],
        "description": "The login is taken; it is so already; or it is one's own, or the last admin's",
    },
}
BREAK_GLASS: Final[dict[int | str, dict[str, Any]]] = {
    **PANEL,
    409: {**RESPONSES[400], "description": "The caller sees the patient already"},
    429: {**RESPONSES[400], "description": "Too many tries in the last hour; `Retry-After` says when to come back"},
}
DECISION: Final[dict[int | str, dict[str, Any]]] = {
    **FORBIDDEN,
    **NOT_FOUND,
    409: {**RESPONSES[400], "description": "The alert is no longer open"},
    412: {**RESPONSES[400], "description": "The alert has changed since it was read"},
    428: {**RESPONSES[400], "description": "If-Match is missing"},
}
CORRECTION: Final[dict[int | str, dict[str, Any]]] = {
    403: {**RESPONSES[400], "description": "The CSRF token is missing, or the caller is no clinician"},
    **NOT_FOUND,
    409: {**RESPONSES[400], "description": "It is so already"},
    412: {**RESPONSES[400], "description": "Somebody has corrected the reading since it was read"},
    428: {**RESPONSES[400], "description": "If-Match is missing"},
}
FOLLOW_UP: Final[dict[int | str, dict[str, Any]]] = {
    403: {**RESPONSES[400], "description": "The CSRF token is missing, or the caller is no clinician"},
    **NOT_FOUND,
    409: {**RESPONSES[400], "description": "The follow-up is not open (or, to reopen it, not closed)"},
    412: {**RESPONSES[400], "description": "Somebody has changed the follow-up since it was read"},
    428: {**RESPONSES[400], "description": "If-Match is missing"},
}
PLAN: Final[dict[int | str, dict[str, Any]]] = {
    **FOLLOW_UP,
    409: {**RESPONSES[400], "description": "It is so already"},
    412: {**RESPONSES[400], "description": "Somebody has agreed something else since it was read"},
}
ERASURE: Final[dict[int | str, dict[str, Any]]] = {
    403: {**RESPONSES[400], "description": "The CSRF token is missing, or the address is for other roles"},
    **NOT_FOUND,
    409: {
        **RESPONSES[400],
        "description": "The record is held, or the request is decided, waits already or is one's own",
    },
}
ASKED: Final[dict[int | str, dict[str, Any]]] = {
    404: {**RESPONSES[400], "description": "The link is unknown, past its end or revoked"},
    409: {**RESPONSES[400], "description": "Nothing is asked, or it was answered too often"},
}
AUDITED: Final[dict[int | str, dict[str, Any]]] = {403: {**RESPONSES[400], "description": "The caller is no auditor"}}
TOO_MANY: Final[dict[int | str, dict[str, Any]]] = {
    429: {**RESPONSES[400], "description": "Sign-in has failed too often"}
}


def answer(request: Request, error: Exception) -> JSONResponse:
    """The problem for anything that an endpoint raised."""
    match error:
        case RequestValidationError():
            return _problem(request, 422, "Not understood", "see errors", {"errors": _without_input(error)})
        case HTTPException():
            return _problem(request, error.status_code, str(error.detail), str(error.detail), headers=error.headers)
    status, title = next((found for kind, found in _STATUSES.items() if isinstance(error, kind)), (500, "Our mistake"))
    detail = _detail(error) if status != 500 else "it has been logged"
    return _problem(request, status, title, detail, _members(error), headers=_headers(error))


def sentence(error: Exception) -> str:
    """What an error says to whoever asked; nothing of ours that went wrong."""
    match error:
        case HTTPException():
            return str(error.detail)
        case _ if any(isinstance(error, kind) for kind in _STATUSES):
            return _detail(error)
    return "it has been logged"


def describe(description: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI description in which every error has the media type that it is sent with; FastAPI writes JSON's."""
    for path, operations in description["paths"].items():
        for operation in operations.values():
            if path.startswith("/fhir/"):
                _describe_fhir(operation["responses"])
            for status, response in operation["responses"].items():
                is_oauths = path == "/fhir/auth/token" and status in ("400", "401")  # RFC 6749 has its own words for it
                if status >= "400" and not is_oauths and "application/json" in response.get("content", {}):
                    response["content"] = {MEDIA_TYPE: response["content"].pop("application/json")}
    return description


def _describe_fhir(responses: dict[str, Any]) -> None:
    """There what cannot be understood is 400, and resources are not plain JSON."""
    responses.pop("422", None)
    content = responses.get("200", {}).get("content", {})
    if len(content) > 1:
        content.pop("application/json", None)


def too_long(request: Request) -> JSONResponse:
    """For a body past the limit."""
    return _problem(request, 413, "Too long", "a body has at most 64 KiB")


def _problem(
    request: Request,
    status: int,
    title: str,
    detail: str,
    members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = Problem(title=title, status=status, detail=detail, instance=request.url.path).model_dump()
    return JSONResponse(
        {**body, **(members or {})}, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def _detail(error: Exception) -> str:
    if isinstance(error, UnavailableError):
        return "try again in a moment"  # the reason names hosts and is in the log
    return error.message if isinstance(error, MalformedError) else str(error)


def _without_input(error: RequestValidationError) -> list[dict[str, object]]:
    return [{"where": [str(part) for part in each["loc"]], "why": each["msg"]} for each in error.errors()]


def _members(error: Exception) -> Mapping[str, object]:
    match error:
        case errors.StaleVersionError():
            changed_at = error.changed_at.isoformat() if error.changed_at else None
            return {"state": error.state, "changed_by": error.changed_by, "changed_at": changed_at}
        case errors.DecisionConflictError():
            return {"state": error.state}
    return {}


def _headers(error: Exception) -> Mapping[str, str]:
    match error:
        case errors.NotSignedInError() | errors.WrongPasswordError():
            return {"WWW-Authenticate": "Bearer"}
        case errors.StaleVersionError():
            return {"ETag": f'"{error.version}"'}
        case errors.TooManyAttemptsError():
            return {"Retry-After": str(max(1, round(error.retry_after.total_seconds())))}
        case UnavailableError():
            return {"Retry-After": "5"}
    return {}
