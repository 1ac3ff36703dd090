"""Our own inbox: the message is its row, so that it is there as soon as it is marked; shown once, by its `push_id`.

An account that is closed or no longer sees the patient is no inbox, nor is the clinic's of a patient whom nobody sees, nor the
patient's where the patient has neither a link to it in force nor an account, and is told by no other way.
"""

from typing import Final

from server.push.channels import NotAgreed, Outcome, Sent, Unreachable
from server.store.pushes import Leased

NO_WAY: Final = "the patient has no link in force, no account and no contact"


class Inbox:
    """The pages of the clinic and of the patient."""

    name = "inbox"
    at_once = 100

    def send(self, message: Leased) -> Outcome:
        if message.is_reachable:
            return Sent()
        if not message.is_agreed:
            return NotAgreed()
        return Unreachable(error=NO_WAY if message.recipient == "patient" else "nobody who may read it has this inbox")
