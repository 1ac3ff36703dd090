"""Blame is in the type: `MalformedError` (they sent it), `AssertionError` (our bug), `UnavailableError` (the world)."""


class MalformedError(ValueError):
    """Somebody else's bytes or values cannot be taken.

    `reason` is a short stable code that is stored and counted (`frame_length`, `decode:utf8`); `datum` is the offending
    bytes or value, kept for the person who must look.
    """

    def __init__(self, reason: str, message: str, datum: object = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.datum = datum


class UnavailableError(RuntimeError):
    """A part of the world (database, broker, bus, radio) does not answer now; trying later may help."""
