"""Browsers that are told (web push): what a browser says of itself when it subscribes, and the key by which it knows us. Pure."""

import base64
import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vitals.errors import MalformedError

SCHEME: Final = "webpush"

GONE: Final = "gone"
"""What is noted of a try to tell a browser that has taken its subscription back: nothing reaches it any more."""

ENDPOINT_MAX: Final = 1000
AUTH_BYTES: Final = 16
"""RFC 8291, section 3.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Where a browser is told (W3C Push API), and the keys with which only it can read (RFC 8291). `public`: a point of P-256."""

    endpoint: str = field(repr=False)
    public: bytes = field(repr=False)
    auth: bytes = field(repr=False)

    @property
    def mark(self) -> str:
        """By which a browser finds out whether it is this one; leads nowhere."""
        return sha256(self.endpoint.encode()).hexdigest()

    @property
    def host(self) -> str:
        """Whose push service it is."""
        return urlsplit(self.endpoint).hostname or ""

    def as_text(self) -> str:
        """As it is kept, sealed, and as a browser says it."""
        keys = {"p256dh": base64url(self.public), "auth": base64url(self.auth)}
        return json.dumps({"endpoint": self.endpoint, "keys": keys})


def read_subscription(said: str) -> Subscription:
    """Raises `MalformedError`, which does not repeat it. Where its address leads is looked at when something is sent."""
    try:
        found: Any = json.loads(said)
        endpoint = found["endpoint"]
        public, auth = (_bytes(found["keys"][name]) for name in ("p256dh", "auth"))
        if len(endpoint) > ENDPOINT_MAX or not (endpoint.isascii() and endpoint.isprintable()):
            raise ValueError("not an address")
        if urlsplit(endpoint).scheme not in ("https", "http") or not urlsplit(endpoint).hostname:
            raise ValueError("not an address of the web")
        if len(auth) != AUTH_BYTES:
            raise ValueError("not a secret of that length")
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise MalformedError("contact_address", "this is no subscription of a browser") from e
    return Subscription(endpoint=endpoint, public=public, auth=auth)


def with_new_key(url: str) -> str:
    """The channel's address with a key of its own, by which browsers know who speaks; whoever replaces it loses every browser.

    `url`: `webpush://` and the e-mail address of whoever runs the server, which push services are told. Raises `MalformedError`.
    """
    contact = url.removeprefix(f"{SCHEME}://")
    if not contact.isascii() or contact.count("@") != 1 or not all(contact.split("@")) or set("/?#:<> ") & set(contact):
        raise MalformedError("channel_url", f"write {SCHEME}:// and your own e-mail address, for the browsers' makers")
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return f"{SCHEME}://{contact}?key={quote(pem.decode(), safe='')}"


def contact_of(url: str) -> str:
    """The e-mail address of whoever runs the server."""
    return urlsplit(url).netloc


def private_key(url: str) -> str:
    """The channel's key, as PEM."""
    return parse_qs(urlsplit(url).query)["key"][0]


def public_key(url: str) -> str:
    """The public half, as a browser asks for it when it subscribes (RFC 8292, section 4)."""
    public = serialization.load_pem_private_key(private_key(url).encode(), password=None).public_key()
    return base64url(public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint))


def base64url(said: bytes) -> str:
    return base64.urlsafe_b64encode(said).rstrip(b"=").decode()


def _bytes(said: str) -> bytes:
    return base64.b64decode(said + "=" * (-len(said) % 4), altchars=b"-_", validate=True)
