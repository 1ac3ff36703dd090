"""FHIR's JSON: its media type, and what goes wrong as an OperationOutcome with the same status that the API would give."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from server.api import problems
from server.fhir import bundles
from server.fhir.codes import Resource
from server.people.door import address

MEDIA_TYPE: Final = "application/fhir+json"

CODES: Final[Mapping[int, str]] = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    409: "conflict",
    413: "too-long",
    429: "throttled",
    503: "transient",
}
"""FHIR's issue types, by status; anything else is an `exception`."""

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": said, "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
    for status, said in (
        (400, "OperationOutcome: what was asked for is not understood"),
        (401, "OperationOutcome: not signed in"),
        (403, "OperationOutcome: for other roles"),
        (404, "OperationOutcome: it does not exist, or is not on your panel"),
        (503, "OperationOutcome: the database does not answer"),
    )
}
RESOURCE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "a resource, or a Bundle of them", "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
}


def fhir(resource: Resource, status: int = 200, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(resource, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def answer(request: Request, error: Exception) -> JSONResponse:
    """The OperationOutcome for anything that an endpoint raised. What cannot be understood is 400 here, as FHIR has it."""
    problem = problems.answer(request, error)
    status = 400 if problem.status_code == 422 else problem.status_code
    said = _places(error) if isinstance(error, RequestValidationError) else problems.sentence(error)
    kept = {name: problem.headers[name] for name in ("WWW-Authenticate", "Retry-After") if name in problem.headers}
    return fhir(bundles.outcome(CODES.get(status, "exception"), said), status, kept)


def base_of(request: Request) -> str:
    """The address under which resources are read, as the caller reached it."""
    return address(request) + "/fhir"


def _places(error: RequestValidationError) -> str:
    return "; ".join(f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors())
