"""`/api/v1/own/{token}`: what a patient says in their own voice, by the link to their own page."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field

from server.api import problems
from server.api.shapes import Shape
from server.people import symptoms
from server.people.door import AClinic
from server.people.symptoms import SymptomCode

router: Final = APIRouter(prefix="/api/v1/own", tags=["own"])

Link = Annotated[str, Path(min_length=1, max_length=256)]


class SymptomsIn(Shape):
    """Which of the symptoms there are now; none of them is an answer, too."""

    symptoms: Annotated[
        tuple[Annotated[SymptomCode, Field(strict=False)], ...], Field(strict=False, max_length=len(SymptomCode))
    ]


@router.post("/{token}/symptoms", status_code=204, responses=problems.ASKED)
def answer_symptoms(clinic: AClinic, token: Link, said: SymptomsIn) -> Response:
    """Answered while a critical alert asks. A yes makes it urgent at once. It is not a call for help: that is 120."""
    symptoms.answer(clinic.pool, token, set(said.symptoms), clinic.rules, now=clinic.now())
    return Response(status_code=204)
