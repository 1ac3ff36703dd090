"""Calls the clinic's own system by Standard Webhooks: signed, known again by its id, and without any health data.

What it says is an alert's number and a patient's number, the rule and the priority; whoever may know more asks the API. The only
server module that imports httpx2 and standardwebhooks.
"""

import ipaddress
import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpx2
from standardwebhooks.webhooks import Webhook as Signer

from server.push.channels import Failed, Gone, Outcome, Sent
from server.push.texts import Step
from server.store.pushes import Leased
from vitals.errors import MalformedError

TIMEOUT_S: Final = 5.0
"""For connecting, and for the answer's head; three times both is still less than a lease."""

_KINDS: Final = {
    "opening": "alert.repeated",
    "reminder": "alert.repeated",
    "escalation": "alert.escalated",
    "retraction": "alert.retracted",
}
"""What a call says by the kind of its message; the very first opening is `alert.opened`."""

GONE: Final = 410
RETRY_AFTER_S_MAX: Final = 3600.0


class WebhookChannel:
    """One HTTP client for all calls. Never follows a redirect, never reads an answer's body."""

    name = "webhook"
    at_once = 1

    def __init__(self) -> None:
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(TIMEOUT_S),
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "homevigil"},
        )

    def close(self) -> None:
        self._client.close()

    def send(self, message: Leased) -> Outcome:
        if message.url is None or message.secret is None:
            return Gone(error="the webhook is switched off")
        try:
            url = checked_url(message.url)
            body = body_of(message)
            with self._client.stream("POST", url, content=body, headers=_headers(message, body)) as answer:
                return _outcome(answer, message.now)
        except (httpx2.HTTPError, httpx2.InvalidURL) as e:
            return Failed(error=f"{type(e).__name__}")
        except MalformedError as e:
            return Gone(error=str(e)[:200])


def checked_url(url: str) -> str:
    """`url` if it may be called: https to anywhere, http to this machine alone. Raises `MalformedError` (`webhook_url`)."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname and not parts.username:
        return url
    if parts.scheme == "http" and not parts.username and _is_loopback(parts.hostname or ""):
        return url
    raise MalformedError("webhook_url", "give an https:// address (http:// only on this machine), without a user name")


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
    return {
        "content-type": "application/json",
        "webhook-id": str(message.push_id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Signer(message.secret).sign(str(message.push_id), at, body),
    }


def _outcome(answer: httpx2.Response, now: datetime) -> Outcome:
    if answer.is_success:
        return Sent()
    if answer.status_code == GONE:
        return Gone(error="410: the receiver is gone; the webhook is switched off")
    return Failed(error=f"HTTP {answer.status_code}", after_s=_retry_after_s(answer.headers.get("retry-after"), now))


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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
