"""Calls the clinic's own system by Standard Webhooks: signed, known again by its id, and without any health data.

What it says is an alert's number and a patient's number, the rule and the priority; whoever may know more asks the API. The only
server module that imports standardwebhooks.
"""

import json
import queue
import ssl
import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from standardwebhooks.webhooks import Webhook as Signer

from server.push import calls
from server.push.addresses import Resolve, system_resolve
from server.push.calls import Answer, NoAnswerError, NotCallableError
from server.push.channels import Failed, Gone, Outcome, Sent, Unreachable
from server.push.texts import Step
from server.store.pushes import Leased

if TYPE_CHECKING:
    import httpx2

DEADLINE_S: Final = 15.0
"""For everything together, the looking up of the name included: half a lease, whatever the other side does."""

_KINDS: Final = {
    "opening": "alert.repeated",
    "reminder": "alert.repeated",
    "escalation": "alert.escalated",
    "retraction": "alert.retracted",
    "breach": "alert.not_answered",
}
"""What a call says by the kind of its message; the very first opening is `alert.opened`."""

GONE: Final = 410
RETRY_AFTER_S_MAX: Final = 3600.0


class WebhookChannel:
    """Calls one address at a time. Never follows a redirect, never reads an answer's body.

    `allow_private`: addresses of the house's own network may be called, and http. `resolve` and `tls` (which authorities
    are believed) are the system's own unless given.
    """

    name = "webhook"
    at_once = 1

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolve: Resolve = system_resolve,
        tls: ssl.SSLContext | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._tls = calls.system_tls() if tls is None else tls
        self._deadline_s = deadline_s

    def send(self, message: Leased) -> Outcome:
        """Call in a thread of its own, which is left to itself when the deadline has passed: no name server and no receiver
        that drips its answer byte by byte can outlast the lease."""
        answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        with calls.open_client(self._tls) as client:
            threading.Thread(target=lambda: answers.put(self._call(client, message)), daemon=True).start()
            try:
                return answers.get(timeout=self._deadline_s)
            except queue.Empty:
                return Failed(error="no answer in time")

    def _call(self, client: "httpx2.Client", message: Leased) -> Outcome:
        if message.url is None or message.secret is None:
            return Unreachable(error="the webhook is switched off")
        body = body_of(message)
        try:
            answer = calls.post(
                client,
                message.url,
                body=body,
                headers=_headers(message, body),
                allow_private=self._allow_private,
                resolve=self._resolve,
            )
        except NoAnswerError as e:
            return Failed(error=str(e))
        except NotCallableError as e:
            return Unreachable(error=str(e))
        return _outcome(answer, message.now)


def body_of(message: Leased) -> str:
    """The JSON of a call: the same on every attempt."""
    kind = "alert.opened" if message.step == Step.OPENING else _KINDS[message.kind]
    facts = {
        "alert_id": str(message.episode_id),
        "patient_id": message.patient_id,
        "priority": message.priority,
        "rule_id": message.rule_id,
    }
    return json.dumps({"type": kind, "timestamp": message.created_at.astimezone(UTC).isoformat(), "data": facts})


def _headers(message: Leased, body: str) -> dict[str, str]:
    assert message.secret is not None
    at = message.now.astimezone(UTC)
    secrets = [message.secret] if message.old_secret is None else [message.secret, message.old_secret]
    return {
        "content-type": "application/json",
        "webhook-id": str(message.push_id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Signer(each).sign(str(message.push_id), at, body) for each in secrets),
    }


def _outcome(answer: Answer, now: datetime) -> Outcome:
    if answer.is_success:
        return Sent()
    if answer.status == GONE:
        return Gone(error="410: the receiver is gone; the webhook is switched off")
    return Failed(error=f"HTTP {answer.status}", after_s=_retry_after_s(answer.retry_after, now))


def _retry_after_s(word: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header, which is a number or a date; at most an hour, and None if it is neither."""
    if word is None:
        return None
    if word.strip().isdigit():
        return min(float(word.strip()[:9]), RETRY_AFTER_S_MAX)
    try:
        at = parsedate_to_datetime(word)
    except ValueError:
        return None
    wait_s = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)
