"""What can go wrong in the box itself. Each message says what to do about it."""

from vitals.errors import UnavailableError


class OutboxFullError(UnavailableError):
    """The outbox is at its bound, or its disk is full: the reading is refused, and nothing kept before is overwritten."""


class OutboxVersionError(RuntimeError):
    """The outbox file is not one that this build may write: newer, or not an outbox. It has not been touched."""


class OutboxBusyError(RuntimeError):
    """Another gateway process has this outbox open."""


class SettingsError(RuntimeError):
    """The settings in the environment cannot be used."""
