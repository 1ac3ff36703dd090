"""Tells a browser (web push): by RFC 8030 to its maker's push service, said by whom (RFC 8292), sealed for it alone (RFC 8291).

The push service learns that somebody is told something, when, and how long it is. Apprise seals; its own sender is not used,
because a message of it lives for a minute at most, and a telephone is switched off for longer.
"""

import json
from datetime import datetime, timedelta
from hashlib import sha256
from time import monotonic
from typing import Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

from server import clock
from server.people import jose
from server.push import apprise_door, calls
from server.push.addresses import system_resolve
from server.push.browsers import GONE, Subscription, base64url, contact_of, private_key, public_key, read_subscription
from server.push.calls import NoAnswerError, NotCallableError
from server.push.outside_texts import Words
from server.store.contacts import Attempt, Place

GONE_STATUSES: Final = (404, 410)
"""RFC 8030, section 7.3, says the first; services say the second, too."""

LIVES_FOR: Final = timedelta(days=1)
"""How long a push service keeps a message for a browser that is switched off: as long as we would try ourselves."""
SIGNED_FOR: Final = timedelta(hours=12)
"""RFC 8292, section 2: a day at most."""


def send(place: Place, words: Words, *, key: str, allow_private: bool) -> Attempt:
    """Try once; never raises for the other side's faults. A message of the same `key` takes the place of the one before.

    `allow_private`: a push service may stand in the house's own network.
    """
    assert place.address is not None, place.contact_id
    to = read_subscription(place.address)
    began = monotonic()
    status, answer = _post(place, to, words, key, allow_private=allow_private)
    return Attempt(
        channel_id=place.channel_id,
        target=sha256(place.mark.bytes + to.endpoint.encode()).hexdigest()[:16],
        status=status,
        elapsed_ms=round((monotonic() - began) * 1000),
        answer=answer,
    )


def payload(words: Words, key: str) -> str:
    """What the browser reads (`static/push-worker.js`). `tag`: what has the same one is shown in its place."""
    said = {"title": words.title, "body": words.body, "url": words.link, "tag": key, "is_urgent": words.is_urgent}
    return json.dumps(said, ensure_ascii=False)


def authorization(channel: str, endpoint: str, *, now: datetime) -> str:
    """Who speaks, to this push service alone and for half a day (RFC 8292)."""
    site = urlsplit(endpoint)
    claims = {
        "aud": f"{site.scheme}://{site.netloc}",
        "exp": int((now + SIGNED_FOR).timestamp()),
        "sub": f"mailto:{contact_of(channel)}",
    }
    return f"vapid t={jose.signed(claims, private_key(channel), 'ES256')}, k={public_key(channel)}"


def _post(
    place: Place, to: Subscription, words: Words, key: str, *, allow_private: bool
) -> tuple[Literal["sent", "failed", "timeout"], str]:
    headers = {
        "ttl": str(round(LIVES_FOR.total_seconds())),
        "urgency": "high" if words.is_urgent else "normal",
        "topic": base64url(UUID(key).bytes),
        "content-encoding": "aes128gcm",
        "content-type": "application/octet-stream",
        "authorization": authorization(place.url, to.endpoint, now=clock.now()),
    }
    try:
        with calls.open_client(calls.system_tls()) as client:
            answer = calls.post(
                client,
                to.endpoint,
                body=apprise_door.seal(payload(words, key), to),
                headers=headers,
                allow_private=allow_private,
                resolve=system_resolve,
            )
    except NoAnswerError as e:
        return ("timeout", "") if "Timeout" in str(e) else ("failed", str(e)[:60])
    except NotCallableError:
        return "failed", "not an address to call"
    if answer.is_success:
        return "sent", ""
    return "failed", GONE if answer.status in GONE_STATUSES else f"HTTP {answer.status}"
