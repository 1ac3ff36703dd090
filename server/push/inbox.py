"""Our own inbox: the message is its row, so that it is there as soon as it is marked; shown once, by its `push_id`.

An account that is closed or no longer sees the patient is no inbox, nor is the clinic's of a patient whom nobody sees.
"""

from server.push.channels import Outcome, Sent, Unreachable
from server.store.pushes import Leased


class Inbox:
    """The pages of the clinic and of the patient."""

    name = "inbox"
    at_once = 100

    def send(self, message: Leased) -> Outcome:
        return Sent() if message.is_reachable else Unreachable(error="nobody who may read it has this inbox")
