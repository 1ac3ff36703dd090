"""What people write about a patient in their own words, as it is kept: UTF-8 bytes in a column of their own."""

from server.store.postgres import Connection


def seal(conn: Connection, patient_id: int, text: str) -> bytes | None:
    """The bytes to keep; nothing of an empty text."""
    return text.encode() if text else None


def unseal(conn: Connection, patient_id: int, kept: bytes | None) -> str:
    """The text of what was kept."""
    return "" if kept is None else bytes(kept).decode()
