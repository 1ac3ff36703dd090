"""The clinic's own certificate authority: one key in one folder, and what is signed with it.

The only server module that imports cryptography. It decides nobody's admission (`claims`) and keeps no list of what it has
signed (`server.store.certificates`). Profiles follow RFC 5280 as strictly as Python 3.13 checks it.
"""

import hmac
import ipaddress
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.store.certificates import Certificate
from vitals.errors import MalformedError, UnavailableError

GATEWAY_DAYS: Final = 90
RENEW_AFTER_DAYS: Final = 60
SERVER_DAYS: Final = 730
"""For the broker, the server and the door; `server ca renew` makes them anew."""
AUTHORITY_DAYS: Final = 365 * 20
LIST_DAYS: Final = 30
"""How long a list of the revoked is good. Past it mosquitto lets nobody in; it is written anew every week."""
INTAKE: Final = "intake"
"""The common name by which the broker's access list knows the server (deploy/mosquitto/homevigil.acl)."""
SKEW: Final = timedelta(hours=1)
"""A certificate is good from a little before it was made: clocks differ."""

_CURVE: Final = ec.SECP256R1()
_USAGE: Final = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate with its key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """The authority whose key and certificate lie in `folder` as ca.key and ca.crt."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key, self._certificate = key, certificate

    @classmethod
    def create(cls, *, name: str, now: datetime) -> "Authority":
        """A new one, called `name`."""
        key = ec.generate_private_key(_CURVE)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _dated(x509.CertificateBuilder(), now, timedelta(days=AUTHORITY_DAYS))
        certificate = (
            builder.subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(**(_USAGE | {"key_cert_sign": True, "crl_sign": True})), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def read(cls, folder: Path) -> "Authority":
        """Raises `UnavailableError` if it is not there or is not one."""
        try:
            key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        except (OSError, ValueError) as e:
            raise UnavailableError(f"no certificate authority in {folder}: {e}; `server ca init` makes one") from e
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise UnavailableError(f"{folder}: ca.key is not the key of ca.crt")
        return cls(key, certificate)

    def write(self, folder: Path) -> None:
        """Key and certificate into the folder; never over another."""
        write_new(folder / "ca.key", _pem(self._key), mode=0o600)
        write_new(folder / "ca.crt", self.certificate, mode=0o644)

    @property
    def certificate(self) -> bytes:
        """PEM."""
        return self._certificate.public_bytes(Encoding.PEM)

    @property
    def pin(self) -> str:
        """By which a new gateway knows the clinic: SHA-256 of the certificate, 64 hex digits."""
        return self._certificate.fingerprint(hashes.SHA256()).hex()

    def keyed_hash(self, text: str) -> bytes:
        """A hash that nobody can try texts against who has the database and not this key."""
        secret = self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return hmac.digest(sha256(b"homevigil claim" + secret).digest(), text.encode(), "sha256")

    def admit(self, request: str, *, gateway_id: str, now: datetime) -> Certificate:
        """A certificate for the key in `request`, in the name of the gateway, whatever the request says of itself.

        Raises `MalformedError` (`request`) unless it is a request with a P-256 key that its sender has.
        """
        key = _key_of_request(request)
        ends = now + timedelta(days=GATEWAY_DAYS)
        signed = self._sign(key, gateway_id, now=now, ends=ends, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
        return Certificate(
            serial=f"{signed.serial_number:x}",
            gateway_id=gateway_id,
            key_hash=_hash_of_key(key),
            certificate=signed.public_bytes(Encoding.PEM).decode(),
            not_before=signed.not_valid_before_utc,
            not_after=signed.not_valid_after_utc,
        )

    def issue_for_server(self, hosts: Sequence[str], *, now: datetime) -> Issued:
        """For a machine that is called by any of these names or addresses."""
        key = ec.generate_private_key(_CURVE)
        ends = now + timedelta(days=SERVER_DAYS)
        signed = self._sign(
            key.public_key(), hosts[0], now=now, ends=ends, purpose=ExtendedKeyUsageOID.SERVER_AUTH, hosts=hosts
        )
        return Issued(certificate=signed.public_bytes(Encoding.PEM), key=_pem(key))

    def issue_for_client(self, common_name: str, *, now: datetime) -> Issued:
        """For a part of the server that speaks to the broker under this name."""
        key = ec.generate_private_key(_CURVE)
        ends = now + timedelta(days=SERVER_DAYS)
        signed = self._sign(key.public_key(), common_name, now=now, ends=ends, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
        return Issued(certificate=signed.public_bytes(Encoding.PEM), key=_pem(key))

    def revocation_list(self, revoked: Iterable[tuple[str, datetime]], *, now: datetime) -> bytes:
        """The list of the revoked (PEM), from serials and the instants of their revoking."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - SKEW)
            .next_update(now + timedelta(days=LIST_DAYS))
            .add_extension(self._key_identifier, critical=False)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        )
        for serial, at in revoked:
            one = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(at).build()
            builder = builder.add_revoked_certificate(one)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    @property
    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey,
        common_name: str,
        *,
        now: datetime,
        ends: datetime,
        purpose: x509.ObjectIdentifier,
        hosts: Sequence[str] = (),
    ) -> x509.Certificate:
        builder = (
            _dated(x509.CertificateBuilder(), now, ends - now)
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**(_USAGE | {"digital_signature": True})), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(self._key_identifier, critical=False)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(list(map(_general_name, hosts))), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


def serial_of(certificate: bytes) -> str:
    """Of a certificate in DER that TLS has already checked."""
    return f"{x509.load_der_x509_certificate(certificate).serial_number:x}"


def hash_of_requested_key(request: str) -> bytes:
    """The SHA-256 of the public key that `request` is about; raises as `Authority.admit` does."""
    return _hash_of_key(_key_of_request(request))


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Raises `FileExistsError` rather than write over anything."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def write_over(path: Path, content: bytes, *, mode: int) -> None:
    """The whole new content or the whole old, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # two may write at once
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except OSError:
        Path(beside).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _dated(builder: x509.CertificateBuilder, now: datetime, lasts: timedelta) -> x509.CertificateBuilder:
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - SKEW).not_valid_after(now + lasts)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_of_request(request: str) -> ec.EllipticCurvePublicKey:
    try:
        parsed = x509.load_pem_x509_csr(request.encode())
        key, is_theirs = parsed.public_key(), parsed.is_signature_valid
    except Exception as e:  # cryptography raises many kinds for what is not one
        raise MalformedError("request", "this is no request for a certificate") from e
    if not is_theirs or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != _CURVE.name:
        raise MalformedError("request", "the request must be signed by the P-256 key that it is about")
    return key


def _hash_of_key(key: ec.EllipticCurvePublicKey) -> bytes:
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
