"""A browser that has subscribed, as far as a sender sees one: its keys, and how it reads what comes (RFC 8291, RFC 8188)."""

import base64
import json
import struct
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def from_base64url(said: str) -> bytes:
    return base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))


def to_base64url(said: bytes) -> str:
    return base64.urlsafe_b64encode(said).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Browser:
    private: ec.EllipticCurvePrivateKey
    auth: bytes
    endpoint: str = ""

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def subscription(self) -> str:
        """As `JSON.stringify` of a PushSubscription says it."""
        keys = {"p256dh": to_base64url(self.public), "auth": to_base64url(self.auth)}
        return json.dumps({"endpoint": self.endpoint, "expirationTime": None, "keys": keys})

    def read(self, body: bytes) -> str:
        """What was sealed for this browser; raises `InvalidTag` if it was not."""
        salt, size, length = body[:16], *struct.unpack("!LB", body[16:21])
        theirs, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(sealed) <= size, "one record"
        shared = self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))
        secret = _derive(shared, self.auth, b"WebPush: info\0" + self.public + theirs, 32)
        key, nonce = (
            _derive(secret, salt, b"Content-Encoding: " + info, size)
            for info, size in ((b"aes128gcm\0", 16), (b"nonce\0", 12))
        )
        said = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")
        assert said.endswith(b"\2"), "the last record"
        return said[:-1].decode()


def new_browser(endpoint: str) -> Browser:
    return Browser(ec.generate_private_key(ec.SECP256R1()), b"0123456789abcdef", endpoint)


def claims_of(authorization: str, public: str) -> dict[str, Any]:
    """What the sender says of itself (RFC 8292), proved by the key that the browser was given; raises `InvalidSignature`."""
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "vapid"
    said = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert said["k"] == public
    head, claims, signature = said["t"].split(".")
    assert json.loads(from_base64url(head)) == {"typ": "JWT", "alg": "ES256"}
    raw = from_base64url(signature)
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_base64url(public)).verify(
        encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])),
        f"{head}.{claims}".encode(),
        ec.ECDSA(hashes.SHA256()),
    )
    found: dict[str, Any] = json.loads(from_base64url(claims))
    return found


def _derive(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(key)
