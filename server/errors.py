"""The server's own ways to fail, beside the three of `vitals.errors`."""

from vitals.errors import MalformedError, UnavailableError

__all__ = ["MalformedError", "SchemaError", "UnavailableError"]


class SchemaError(RuntimeError):
    """The database is not one that this build may write to; the message says what to do."""
