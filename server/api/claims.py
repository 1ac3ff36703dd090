"""`/api/v1/claims`: codes by which new boxes become gateways, for whoever runs the clinic. Patients are numbers here."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field, StringConstraints

from server.api import problems
from server.api.shapes import Shape
from server.people.door import Changing, SignedIn
from server.trust import office
from server.trust.office import Wish

router: Final = APIRouter(prefix="/api/v1/claims", tags=["gateways"])

Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
GatewayId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z:._-]{0,63}$")]
Zone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,63}$")]

CLAIM: Final[dict[int | str, dict[str, Any]]] = {
    **problems.FORBIDDEN,
    404: {**problems.RESPONSES[400], "description": "There is no such patient"},
    409: {**problems.RESPONSES[400], "description": "It cannot be done as things are"},
}


class ClaimIn(Shape):
    """`zone` enrols a gateway that there is not yet; `patient_id`: whose home it is for."""

    gateway_id: GatewayId
    zone: Zone | None = None
    patient_id: Number | None = None


class CodeOut(Shape):
    """Shown now and never again. `text` is what the QR says; `pin`: by which the box knows the clinic."""

    gateway_id: str
    code: str
    pin: str
    text: str
    expires_at: datetime


class ClaimOut(Shape):
    gateway_id: str
    made_by: str
    made_at: datetime
    expires_at: datetime
    tries_left: int


class HomeOut(Shape):
    gateway_id: str
    patient_id: int
    said_by: str
    valid_from: datetime


class ClaimsOut(Shape):
    claims: tuple[ClaimOut, ...]
    homes: tuple[HomeOut, ...]


class GatewayIn(Shape):
    gateway_id: GatewayId


class HomeOverIn(Shape):
    gateway_id: GatewayId
    patient_id: Number


@router.get("", responses=problems.FORBIDDEN)
def list_claims(caller: SignedIn) -> ClaimsOut:
    """Codes that are still good, and which gateway is for whose home."""
    found = office.look(caller)
    return ClaimsOut(
        claims=tuple(
            ClaimOut(**{name: getattr(each, name) for name in ClaimOut.model_fields}) for each in found.claims
        ),
        homes=tuple(HomeOut(**{name: getattr(each, name) for name in HomeOut.model_fields}) for each in found.homes),
    )


@router.post("", status_code=201, responses=CLAIM)
def claim(caller: Changing, request: Request, body: ClaimIn) -> CodeOut:
    """A code for one box, good for fifteen minutes and five tries; the one before ends with it."""
    wish = Wish(gateway_id=body.gateway_id, zone=body.zone, patient_id=body.patient_id)
    made = office.claim(caller, request.app.state.claim_office, wish)
    said = made.invitation
    return CodeOut(gateway_id=said.gateway_id, code=said.code, pin=said.pin, text=said.text, expires_at=made.expires_at)


@router.post("/take-back", status_code=204, responses=CLAIM)
def take_back(caller: Changing, body: GatewayIn) -> Response:
    """The open code of this gateway is not good any more."""
    office.take_back(caller, body.gateway_id)
    return Response(status_code=204)


@router.post("/home-over", status_code=204, responses=CLAIM)
def home_over(caller: Changing, body: HomeOverIn) -> Response:
    """The gateway is no longer for that patient's home. Bindings of meters stay."""
    office.end_home(caller, body.gateway_id, body.patient_id)
    return Response(status_code=204)
