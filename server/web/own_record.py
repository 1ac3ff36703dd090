"""The whole record in the patient's own hand, from their own page, with a code of the clinic's (`people.record_codes`)."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from markupsafe import Markup

from server.people import record_codes
from server.people.door import AClinic, address, check_same_origin
from server.people.record_codes import WrongCodeError
from server.store.postgres import Connection
from server.store.worklist import LinkedPatient
from server.web.rendering import part, render, words_for
from server.web.words import Words

router: Final = APIRouter(include_in_schema=False)


def record_part(conn: Connection, patient: LinkedPatient, token: str, words: Words, now: datetime) -> Markup:
    return Markup(part("own_record.html", words, own=f"/me/{token}"))


@router.post("/me/{token}/record")
def take(clinic: AClinic, request: Request, token: str, code: Annotated[str, Form(max_length=32)] = "") -> Response:
    """The record as a ZIP file, or a page that says what to do."""
    check_same_origin(request)
    try:
        packed = record_codes.take(clinic.pool, token, code, base=f"{address(request)}/fhir", now=clinic.now())
    except WrongCodeError:
        return render(
            request,
            "own_record_refused.html",
            words_for(request),
            status=403,
            own=f"/me/{token}",
            phone=clinic.clinic_phone,
        )
    headers = {"Content-Disposition": 'attachment; filename="record.zip"', "Cache-Control": "no-store"}
    return Response(packed, media_type="application/zip", headers=headers)
