"""What can go wrong between people and the record. Doors turn these into a status code and a sentence."""

from datetime import datetime, timedelta


class PeopleError(Exception):
    """The base of what this room raises for what people ask of it."""


class LoginTakenError(PeopleError):
    """Somebody already signs in under this name."""


class WeakPasswordError(PeopleError):
    """The password is shorter or longer than what is taken."""


class WrongPasswordError(PeopleError):
    """Login and password do not fit; which of the two is not said."""


class TooManyAttemptsError(PeopleError):
    """Sign-in has failed too often; `retry_after` says when to come back."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("too many failed attempts to sign in")
        self.retry_after = retry_after


class NotSignedInError(PeopleError):
    """No session, or one that has ended."""


class ForgedRequestError(PeopleError):
    """A change was asked for in a session's name without the session's CSRF token, or from another site."""


class NotOnPanelError(PeopleError):
    """For this user the patient, or the patient's alert, does not exist."""


class WrongRoleError(PeopleError):
    """The address is for other roles than the caller's."""


class OnlyInEmergencyError(WrongRoleError):
    """The caller sees the patient by a record opened in an emergency alone; this is for those who look after the patient."""


class NotAClinicianError(PeopleError):
    """What was asked for is a clinician's to decide, and the user's role is another."""


class NotAnAuditorError(PeopleError):
    """What was asked for is an auditor's to read, and the user's role is another."""


class MissingVersionError(PeopleError):
    """A decision must say which version was read of what it is about (`If-Match`)."""


class StaleVersionError(PeopleError):
    """What the decision is about has changed since it was read: somebody else decided, or, of an alert, new readings came."""

    def __init__(
        self, *, version: int, state: str, changed_by: str | None, changed_at: datetime | None, what: str = "alert"
    ) -> None:
        super().__init__(f"the {what} has changed since it was read")
        self.version = version
        self.state = state
        self.changed_by = changed_by
        self.changed_at = changed_at


class DecisionConflictError(PeopleError):
    """What the decision is about is in a state in which the decision has no meaning."""

    def __init__(self, state: str, *, what: str = "alert") -> None:
        super().__init__(f"the {what} is {state}")
        self.state = state
        self.what = what


class NothingToUndoError(PeopleError):
    """The last decision is another's, too old or undone, or something has happened since."""


class KeyReusedError(PeopleError):
    """An `Idempotency-Key` names one request for ever; this is another one."""


class ProgramRefusedError(PeopleError):
    """A program of another house gets no token; `code` is OAuth's word for why (RFC 6749, 5.2)."""

    def __init__(self, code: str, said: str) -> None:
        super().__init__(said)
        self.code = code


class PasskeyRefusedError(PeopleError):
    """A passkey does not open, or cannot be added; the sentence says what to do."""


class ProofNeededError(PeopleError):
    """It opens a further way in, and nobody has proved lately to be the session's person: give the password again."""


class HouseSignInError(PeopleError):
    """The house's own sign-in did not lead to an account here; the sentence says what to do."""
