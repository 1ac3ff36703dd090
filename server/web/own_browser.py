"""On the patient's own page: being told on this telephone or computer itself, by its browser (web push)."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from server.people import links
from server.people.door import AClinic, Clinic, check_same_origin
from server.people.errors import NotOnPanelError
from server.push import browsers, contact_book
from server.push.contact_book import Deed, Wanted
from server.store import consents
from server.store import contacts as store
from server.store.consents import Purpose
from server.store.contacts import Owner
from server.store.postgres import Connection, in_transaction, transaction
from server.store.worklist import LinkedPatient
from server.web.rendering import part
from server.web.words import Words
from vitals.errors import MalformedError

router: Final = APIRouter(include_in_schema=False)

WORKER: Final = (Path(__file__).parent / "static" / "push-worker.js").read_bytes()
Subscription = Annotated[str, Form(max_length=4000, pattern=r"^[^\x00]*$")]
Mark = Annotated[str, Form(max_length=64, pattern=r"^[0-9a-f]*$")]


def browser_part(conn: Connection, patient: LinkedPatient, token: str, words: Words, now: datetime) -> Markup:
    """Nothing where whoever runs the clinic has set up no way to browsers."""
    way = store.browser_channel(conn)
    if way is None:
        return Markup("")
    return Markup(  # a template's own output, escaped where it was rendered
        part(
            "own_browser.html",
            words,
            key=browsers.public_key(way[1]),
            known=" ".join(contact_book.browser_marks(conn, Owner(patient_id=patient.patient_id)).values()),
            is_agreed=consents.allows(conn, patient.patient_id, Purpose.CHANNELS),
            page_url=f"/me/{token}",
        )
    )


@router.get("/push-worker.js")
def show_worker() -> Response:
    """Served beside the pages and not below /static: a worker looks after what lies below its own address."""
    return Response(WORKER, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


@router.post("/me/{token}/browser")
def start(clinic: AClinic, request: Request, token: str, address: Subscription = "") -> Response:
    """From now on this browser is told, and is at once, as a trial: one that does not take that is not kept (409)."""
    check_same_origin(request)
    owner = _whose(clinic, token)
    deed = Deed(actor=f"patient:{owner.patient_id}", now=clinic.now())
    with transaction(clinic.pool) as conn:
        way = store.browser_channel(conn)
        is_agreed = consents.allows(conn, owner.patient_id or 0, Purpose.CHANNELS)
    if way is None or not is_agreed:
        return Response(status_code=409)
    wanted = Wanted(channel_id=way[0], address=address)
    contact_id = in_transaction(clinic.pool, lambda conn: contact_book.add_contact(conn, deed, owner, wanted))
    with suppress(MalformedError):  # too many trials within the hour
        attempt = contact_book.try_contact(clinic.pool, deed, owner, contact_id, allow_private=clinic.allow_private)
        if attempt.status == "sent":
            return Response(status_code=204)
    with suppress(NotOnPanelError):  # forgotten already, where the other side said so
        in_transaction(clinic.pool, lambda conn: contact_book.remove_contact(conn, deed, owner, contact_id))
    return Response(status_code=409)


@router.post("/me/{token}/browser/stop")
def stop(clinic: AClinic, request: Request, token: str, mark: Mark = "") -> Response:
    """This browser is forgotten; so it is where it was already."""
    check_same_origin(request)
    owner = _whose(clinic, token)
    deed = Deed(actor=f"patient:{owner.patient_id}", now=clinic.now())

    def work(conn: Connection) -> None:
        for contact_id, known in contact_book.browser_marks(conn, owner).items():
            if known == mark:
                contact_book.remove_contact(conn, deed, owner, contact_id)

    in_transaction(clinic.pool, work)
    return RedirectResponse(f"/me/{token}", status_code=303)


def _whose(clinic: Clinic, token: str) -> Owner:
    with transaction(clinic.pool) as conn:
        patient_id = links.find_patient(conn, token, now=clinic.now())
    if patient_id is None:
        raise NotOnPanelError("no such page")
    return Owner(patient_id=patient_id)
