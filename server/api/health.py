"""`/healthz` says that the process answers, `/readyz` that it can do its work."""

from typing import Final

from fastapi import APIRouter

from server.api.shapes import HealthOut
from server.people.door import AClinic
from server.store import worklist
from server.store.postgres import transaction

router: Final = APIRouter(tags=["health"])


@router.get("/healthz")
def is_up() -> HealthOut:
    """The process answers."""
    return HealthOut()


@router.get("/readyz")
def is_ready(clinic: AClinic) -> HealthOut:
    """The database answers; 503 when it does not."""
    with transaction(clinic.pool) as conn:
        assert worklist.is_alive(conn)
    return HealthOut()
