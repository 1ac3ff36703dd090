"""`/fhir/auth/token`: a token of five minutes for a program that has proved itself by its key (SMART Backend Services)."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse

from server.api.fhir_json import ERRORS, MEDIA_TYPE, base_of
from server.people import programs
from server.people.door import AClinic, address_of
from server.people.errors import ProgramRefusedError

router: Final = APIRouter(prefix="/fhir", tags=["FHIR"], responses=ERRORS)

REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": said, "content": {kind: {"schema": {"type": "object"}} for kind in kinds}}
    for status, said, kinds in (
        (
            400,
            "OAuth's error (RFC 6749, 5.2); an OperationOutcome where it is no form at all",
            ("application/json", MEDIA_TYPE),
        ),
        (401, "the program is not known, or has not proved itself", ("application/json", MEDIA_TYPE)),
        (429, "OperationOutcome: asked too often in vain; Retry-After says when to come back", (MEDIA_TYPE,)),
    )
}


@router.get("/.well-known/smart-configuration")
def show_configuration(request: Request) -> dict[str, Any]:
    """Where and how a program proves itself."""
    return {
        "token_endpoint": f"{base_of(request)}/auth/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(programs.ALGORITHMS),
        "scopes_supported": sorted(programs.SCOPES),
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
    }


@router.post("/auth/token", responses=REFUSED)
def grant_token(
    clinic: AClinic,
    request: Request,
    grant_type: Annotated[str, Form(max_length=64)] = "",
    scope: Annotated[str, Form(max_length=256)] = "",
    client_assertion_type: Annotated[str, Form(max_length=128)] = "",
    client_assertion: Annotated[str, Form(max_length=programs.ASSERTION_MAX)] = "",
) -> JSONResponse:
    """A bearer token. What the program sees is what its account sees."""
    try:
        if grant_type != "client_credentials":
            raise ProgramRefusedError("unsupported_grant_type", "grant_type is client_credentials")
        if client_assertion_type != programs.ASSERTION_TYPE:
            raise ProgramRefusedError("invalid_request", f"client_assertion_type is {programs.ASSERTION_TYPE}")
        audience = f"{base_of(request)}/auth/token"
        granted = programs.grant(
            clinic.pool, client_assertion, scope=scope, audience=audience, address=address_of(request), now=clinic.now()
        )
    except ProgramRefusedError as e:
        status = 401 if e.code == "invalid_client" else 400
        return JSONResponse({"error": e.code, "error_description": str(e)}, status_code=status)
    seconds = int(granted.lasts_for.total_seconds())
    said = {"access_token": granted.token, "token_type": "bearer", "expires_in": seconds, "scope": granted.scope}
    return JSONResponse(said, headers={"Pragma": "no-cache"})
