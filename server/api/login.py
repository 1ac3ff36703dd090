"""`/api/v1/login` and `/api/v1/logout`: a bearer token for scripts. Browsers sign in on the page `/login`."""

from typing import Final

from fastapi import APIRouter, Request, Response

from server.api import problems
from server.api.shapes import SessionOut, SignInIn
from server.people import sessions
from server.people.door import AClinic, Changing, address_of

router: Final = APIRouter(prefix="/api/v1", tags=["sessions"])


@router.post("/login", responses=problems.TOO_MANY)
def sign_in(clinic: AClinic, request: Request, body: SignInIn) -> SessionOut:
    """A session, to be sent as `Authorization: Bearer <token>`."""
    signed_in = sessions.sign_in(
        clinic.pool, login=body.login, password=body.password, address=address_of(request), now=clinic.now()
    )
    return SessionOut(
        token=signed_in.token,
        expires_at=signed_in.session.expires_at,
        login=signed_in.session.login,
        role=signed_in.session.role,
    )


@router.post("/logout", status_code=204, responses=problems.FORBIDDEN)
def sign_out(caller: Changing) -> Response:
    """Ends the session."""
    sessions.sign_out(caller.house, caller.session, now=caller.now)
    return Response(status_code=204)
