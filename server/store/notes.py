"""What people write about a patient in their own words, as it is kept: sealed with the patient's key."""

from server.errors import ErasedError
from server.store import vault
from server.store.postgres import Connection


def seal(conn: Connection, patient_id: int, text: str, place: str) -> bytes | None:
    """The bytes to keep; nothing of an empty text. `place`: the table and the column that they are for."""
    return vault.seal(conn, patient_id, text.encode(), f"{place}/{patient_id}") if text else None


def unseal(conn: Connection, patient_id: int, kept: bytes | None, place: str) -> str:
    """The text of what was kept; of somebody erased, nothing."""
    if kept is None:
        return ""
    try:
        return vault.open_sealed(conn, patient_id, kept, f"{place}/{patient_id}").decode()
    except ErasedError:
        return ""
