"""What is left of somebody erased is looked for here, not in the request of whoever confirmed it: it reads every row and file.

Of many servers one takes each search. One that is cut off is begun anew: it stands in the database until its proof does.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from server import clock
from server.people.erasure_proof import Where, look_for_next
from server.store.postgres import Pool
from vitals.errors import UnavailableError

log = structlog.get_logger()

EVERY_S: Final = 2.0
"""Somebody waits at the page. Engineering choice."""


def keep_looking(pool: Pool, stop: threading.Event, folders: Sequence[Path]) -> None:
    """Until `stop` is set."""
    while not stop.is_set():
        try:
            proof = look_for_next(pool, Where(folders=folders), clock.now)
        except UnavailableError as e:
            log.warning("database_unavailable", reason=str(e), retry_in_s=EVERY_S)
            proof = None
        if proof is None:
            stop.wait(EVERY_S)
        else:
            log.info("erasure_looked_for", patient_id=proof.patient_id, tables=proof.tables, found=len(proof.places))
