"""The server's own ways to fail, beside the three of `vitals.errors`."""

from vitals.errors import MalformedError, UnavailableError

__all__ = ["ErasedError", "MalformedError", "SchemaError", "UnavailableError", "VaultError"]


class SchemaError(RuntimeError):
    """The database is not one that this build may write to; the message says what to do."""


class VaultError(RuntimeError):
    """The keys to what is sealed are not there, or a sealed value is not what was sealed; the message says what to do."""


class ErasedError(RuntimeError):
    """Somebody's key has been destroyed: nothing of theirs can be opened or sealed any more."""

    def __init__(self, patient_id: int) -> None:
        super().__init__(f"patient {patient_id} has been erased")
        self.patient_id = patient_id
