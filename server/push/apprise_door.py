"""Sends by Apprise, one message to one place: the only server module, with the plug-in for Aliyun, that imports it.

Nothing that Apprise says is passed on: its results and its log carry addresses and secrets. What leaves here is a status, how
long it took, a code, and a name of the place that leads nowhere. Redirects are not followed.
"""

import logging
import re
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from apprise import Apprise, AppriseAsset, NotifyBase
from apprise.plugins.email.base import NotifyEmail
from apprise.result import AppriseResultStatus, NotifyResult
from apprise.utils.pem import ApprisePEMController
from cryptography.hazmat.primitives.asymmetric import ec

from server.push import aliyun_sms, mail
from server.push.browsers import Subscription
from server.push.mail import MailServer
from server.push.outside_texts import Words
from server.store.contacts import Attempt
from vitals.errors import MalformedError

ANSWER_S: Final = 6.0
"""For connecting, and for each part of an answer; together less than the deadline of a sender."""

_CODE: Final = re.compile(r"\berror=([A-Za-z0-9_-]{1,40}(?:\.[A-Za-z0-9_-]+)*)")

aliyun_sms.install()
for _name in ("apprise", "urllib3", "requests"):
    # What they log names addresses and tokens; what matters of it is in the ledger.
    logging.getLogger(_name).propagate = False
    logging.getLogger(_name).addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One message for one place. `key` is the message's own id, by which a repeated one is known again; `salt` is the place's."""

    channel_id: int
    url: str = field(repr=False)
    words: Words
    key: str
    salt: bytes


def check(url: str) -> None:
    """Raises `MalformedError` unless Apprise can send by it; it sends nothing, and does not repeat the URL."""
    if _service(url, b"check") is None:
        raise MalformedError(
            "channel_url", "Apprise cannot read this address: compare it with the service's page in Apprise's manual"
        )


def send(parcel: Parcel, *, timeout_s: float) -> Attempt:
    """Try once; never raises for the other side's faults."""
    service = _service(parcel.url, parcel.salt)
    if service is None:
        return Attempt(channel_id=parcel.channel_id, target="", status="failed", elapsed_ms=0, answer="unreadable")
    if isinstance(service, NotifyEmail):
        return _send_mail(parcel, service, timeout_s)
    if isinstance(service, aliyun_sms.NotifyAliyunSms):
        service.out_id = parcel.key
    sender = Apprise(asset=service.asset)
    sender.add(service)
    result = next(iter(sender.notify(body=parcel.words.whole, title=parcel.words.title, timeout=timeout_s)))
    assert isinstance(result, NotifyResult), type(result)
    is_late = result.status == AppriseResultStatus.TIMEOUT
    return Attempt(
        channel_id=parcel.channel_id,
        target=result.url_id or "",
        status="sent" if result else "timeout" if is_late else "failed",
        elapsed_ms=round(result.elapsed * 1000),
        answer="" if result or is_late else _answer(result),
    )


def seal(said: str, to: Subscription) -> bytes:
    """For one browser alone to read, by RFC 8291."""
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), to.public)
    return bytes(ApprisePEMController(path="").encrypt_webpush(said, public_key=public, auth_secret=to.auth))


def _service(url: str, salt: bytes) -> NotifyBase | None:
    asset = AppriseAsset(
        http_redirects=False,
        async_mode=False,
        app_id="HomeVigil",
        app_desc="HomeVigil",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        storage_mode="memory",
        storage_salt=salt,
        storage_idlen=16,
    )
    service = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if not isinstance(service, NotifyBase):
        return None
    service.socket_connect_timeout = min(float(service.socket_connect_timeout), ANSWER_S)
    service.socket_read_timeout = min(float(service.socket_read_timeout), ANSWER_S)
    return service


def _send_mail(parcel: Parcel, service: NotifyEmail, timeout_s: float) -> Attempt:
    server = MailServer(
        host=service.smtp_host,
        port=service.port,
        mode=service.secure_mode,
        user=service.user,
        password=service.password,
        sender=service.from_addr[1],
        verify=service.verify_certificate,
    )
    began = monotonic()
    try:
        to = [address for _, address in service.targets]
        answer = mail.send(server, to, parcel.words, key=parcel.key, timeout_s=min(ANSWER_S, timeout_s))
    except TimeoutError:
        answer = "timeout"
    except OSError as e:
        answer = type(e).__name__
    return Attempt(
        channel_id=parcel.channel_id,
        target=service.url_id() or "",
        status="timeout" if answer == "timeout" else "failed" if answer else "sent",
        elapsed_ms=round((monotonic() - began) * 1000),
        answer="" if answer == "timeout" else answer[:60],
    )


def _answer(result: NotifyResult) -> str:
    """A code that the other side gave, and nothing else of what was said: the rest may be an address."""
    codes = [found[1] for entry in result.logs() if (found := _CODE.search(str(entry.message)))]
    return f"code {codes[-1]}" if codes else "refused"
