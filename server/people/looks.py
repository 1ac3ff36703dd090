"""Writes down every look at a patient's record, and every list of patients, before the first byte of it goes out.

No page does it by hand, so none can forget it. Whose record was looked at is read off the path (`patient_id`, `episode_id`,
`follow_up_id`, the token of a patient's own page); a handler whose record is named otherwise says `looked_at`. Whatever else is
shown to somebody who is signed in is a list. What cannot be written down is not shown.

The same person looking at the same page of the same patient again is written down once in five minutes, so that a page that asks
for news by itself does not fill the audit; at the same list, once in a quarter of an hour.
"""

from collections.abc import Callable, Mapping, MutableMapping
from datetime import timedelta
from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.people import links
from server.people.door import Caller, Clinic
from server.store import audit
from server.store.postgres import Connection, in_transaction
from vitals.errors import UnavailableError

READ_ONCE_IN: Final = timedelta(minutes=5)
LIST_ONCE_IN: Final = timedelta(minutes=15)
_LOOKED_AT: Final = "looked_at"


def looked_at(request: Request, *patient_ids: int) -> None:
    """Say whose record the answer shows, where the path does not."""
    request.state.looked_at = getattr(request.state, _LOOKED_AT, set()) | set(patient_ids)


class Looks:
    """ASGI middleware: notes what is about to be shown, once it is known that it will be."""

    def __init__(self, app: ASGIApp, answer: Callable[[Request, Exception], Response]) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused: list[UnavailableError] = []

        async def note_first(message: Message) -> None:
            if message["type"] == "http.response.start" and 200 <= message["status"] < 300:
                try:
                    await run_in_threadpool(note, scope)
                except UnavailableError as e:
                    refused.append(e)
            if refused:
                raise _NotShownError
            await send(message)

        try:
            await self._app(scope, receive, note_first)
        except BaseException:
            if not refused:
                raise
        if refused:
            await self._answer(Request(scope), refused[0])(scope, receive, send)


class _NotShownError(Exception):
    """Ends the sending of an answer that must not be shown."""


def note(scope: MutableMapping[str, Any]) -> None:
    """Write down what is shown to whom. Raises `UnavailableError`."""
    state: Mapping[str, Any] = scope.get("state", {})
    path: Mapping[str, Any] = scope.get("path_params", {})
    caller: Caller | None = state.get("caller")
    kind = getattr(scope.get("route"), "path", scope["path"])
    clinic: Clinic = scope["app"].state.clinic
    if caller is None and not ("token" in path and kind.startswith(("/me/", "/api/v1/own/"))):
        return

    def work(conn: Connection) -> None:
        if caller is None:
            _note_own(conn, str(path["token"]), kind, clinic)
            return
        actor, now = f"user:{caller.user_id}", caller.now
        patient_ids = _patients(conn, path) | state.get(_LOOKED_AT, set())
        for patient_id in sorted(patient_ids):
            audit.note_look(conn, actor=actor, patient_id=patient_id, kind=kind, at=now, once_in=READ_ONCE_IN)
        if not patient_ids:
            audit.note_look(conn, actor=actor, patient_id=None, kind=kind, at=now, once_in=LIST_ONCE_IN)

    in_transaction(clinic.pool, work)


def _patients(conn: Connection, path: Mapping[str, Any]) -> set[int]:
    """Whose record the path names."""
    found = {int(path["patient_id"])} if "patient_id" in path else set()
    owners = {audit.patient_of(conn, name, str(value)) for name, value in path.items()}
    return found | {owner for owner in owners if owner is not None}


def _note_own(conn: Connection, token: str, kind: str, clinic: Clinic) -> None:
    """A patient, or whoever holds the patient's link, looks at the patient's own page."""
    now = clinic.now()
    patient_id = links.find_patient(conn, token, now=now)
    if patient_id is not None:
        actor = f"patient:{patient_id}"
        audit.note_look(conn, actor=actor, patient_id=patient_id, kind=kind, at=now, once_in=READ_ONCE_IN)
