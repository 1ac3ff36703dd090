"""The only place in the server that reads a clock. Logic takes `now`; what is due is decided by the database's clock."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.now(UTC)
