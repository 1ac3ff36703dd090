"""Posts to a web address that somebody else has chosen: where it leads is looked at first, nothing is followed, nothing is read.

The only module of the server's senders that imports httpx2, with `addresses`.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx2

from server.push.addresses import Resolve, Target, look_up
from vitals.errors import MalformedError, UnavailableError

TIMEOUT_S: Final = 5.0
"""For connecting, and for each part of the answer's head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the other side said, of which the body is never read. `retry_after`: the header of that name."""

    status: int
    retry_after: str | None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class NotCallableError(Exception):
    """This address is not one to call, and no later try will change that. Its message is short and repeats no address."""


class NoAnswerError(Exception):
    """Nobody answered this time. Its message is short and repeats no address."""


def system_tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


def open_client(tls: ssl.SSLContext) -> httpx2.Client:
    """For one message: whoever closes it ends a call that is under way."""
    return httpx2.Client(
        timeout=httpx2.Timeout(TIMEOUT_S),
        verify=tls,
        follow_redirects=False,
        trust_env=False,
        headers={"user-agent": "homevigil"},
    )


def post(
    client: httpx2.Client,
    url: str,
    *,
    body: str | bytes,
    headers: Mapping[str, str],
    allow_private: bool,
    resolve: Resolve,
) -> Answer:
    """Call the first of the addresses that answers; the certificate is checked against the name.

    Raises `NotCallableError`, `NoAnswerError`.
    """
    try:
        target = look_up(url, allow_private=allow_private, resolve=resolve)
        *others, last = target.addresses
        for address in others:
            try:
                return _post(client, target, address, body, headers)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return _post(client, target, last, body, headers)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as e:
        raise NoAnswerError(type(e).__name__) from e
    except RuntimeError as e:  # the client was closed because the deadline has passed; nobody listens any more
        raise NoAnswerError(str(e) if isinstance(e, UnavailableError) else type(e).__name__) from e
    except MalformedError as e:
        raise NotCallableError(str(e)[:200]) from e


def _post(client: httpx2.Client, target: Target, address: str, body: str | bytes, headers: Mapping[str, str]) -> Answer:
    said = {"host": target.host_header, **headers}
    name = {"sni_hostname": target.host}
    with client.stream("POST", target.by(address), content=body, headers=said, extensions=name) as answer:
        return Answer(status=answer.status_code, retry_after=answer.headers.get("retry-after"))
