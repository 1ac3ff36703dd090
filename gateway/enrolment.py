"""How this box becomes a gateway, and how it stays one: a key that never leaves it, and a certificate from the clinic.

The clinic is known by the pin of its authority, from a QR or said by a person; nothing is told to anybody who has not shown it.
Imported when it is needed only: cryptography is heavy for a box that needs it four times a year.
"""

import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.identity import NO_TIME_CHECK, Facts, Identity, forget_waiting_key, waiting_key, write_identity
from vitals.enrolment import MAX_BYTES, Admission, Claim, Invitation, Refusal, Renewal
from vitals.errors import MalformedError, UnavailableError

ASK_S: Final = 30.0
T = TypeVar("T")


class RefusedError(Exception):
    """The clinic says no; the words are its own. `reason` is for programs."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.reason = refusal.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """Where the clinic's door is, and by which authority (PEM) it is known."""

    host: str
    port: int
    authority: bytes


def find_clinic(host: str, port: int) -> Clinic:
    """Ask the door which authority it is of. Nothing is known about that answer yet: compare `pin_of` it before anything is said.

    Raises `UnavailableError`, `MalformedError` (`authority`).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    status, body = _ask(host, port, context, "GET", "/authority", None)
    if status != 200:
        raise UnavailableError(f"{host}:{port} is no door of a clinic: it answered {status}")
    return Clinic(host=host, port=port, authority=_single_certificate(body).public_bytes(Encoding.PEM))


def pin_of(authority: bytes) -> str:
    """SHA-256 of the certificate, 64 hex digits; raises `MalformedError` for what is none, or more than one."""
    return _single_certificate(authority).fingerprint(hashes.SHA256()).hex()


def _single_certificate(pem: bytes) -> x509.Certificate:
    """Of an answer with two, one would be compared with the pin and both would be trusted."""
    try:
        (certificate,) = x509.load_pem_x509_certificates(pem)
    except ValueError as e:
        raise MalformedError("authority", "the clinic's door gave no certificate, or several") from e
    return certificate


def enrol(folder: Path, invitation: Invitation, *, is_time_known: bool) -> Identity:
    """Become the gateway of the invitation; the identity is in force in `folder` when this returns.

    May be said again with the same invitation after anything went wrong. Raises `RefusedError`, `UnavailableError`,
    `MalformedError` (`pin`: somebody else answers there), `OSError`.
    """
    clinic = find_clinic(invitation.host, invitation.port)
    if pin_of(clinic.authority) != invitation.pin:
        raise MalformedError("pin", f"{clinic.host}:{clinic.port} is not the clinic that this invitation is from")
    key = _waiting(folder)
    claim = Claim(gateway_id=invitation.gateway_id, code=invitation.code, request=_request(key))
    context = _context(clinic.authority, is_time_known=is_time_known)
    admission = _admitted(clinic.host, clinic.port, context, "/enrol", claim)
    return _take_up(folder, clinic, admission, key)


def renew(identity: Identity, *, is_time_known: bool) -> Identity:
    """The same gateway with its next certificate, in force when this returns. Raises as `enrol` does."""
    facts = identity.facts
    clinic = Clinic(host=facts.enrol_host, port=facts.enrol_port, authority=identity.authority_file.read_bytes())
    key = _waiting(identity.folder)
    context = _context(clinic.authority, is_time_known=is_time_known)
    context.load_cert_chain(identity.certificate_file, identity.key_file)
    admission = _admitted(clinic.host, clinic.port, context, "/renew", Renewal(request=_request(key)))
    return _take_up(identity.folder, clinic, admission, key)


def _take_up(folder: Path, clinic: Clinic, admission: Admission, key: ec.EllipticCurvePrivateKey) -> Identity:
    """Only what belongs together goes into force."""
    try:
        certificate = x509.load_pem_x509_certificate(admission.certificate.encode())
        authority = x509.load_pem_x509_certificate(clinic.authority)
        certificate.verify_directly_issued_by(authority)
    except Exception as e:  # cryptography raises many kinds for what is not one
        raise MalformedError("certificate", "what the clinic gave is no certificate of its authority") from e
    if certificate.public_key() != key.public_key():
        raise MalformedError("certificate", "what the clinic gave is not for this box's key")
    facts = Facts(
        gateway_id=admission.gateway_id,
        zone=admission.zone,
        mqtt_host=admission.mqtt_host or clinic.host,
        mqtt_port=admission.mqtt_port,
        enrol_host=clinic.host,
        enrol_port=clinic.port,
        renew_from=admission.renew_from,
        ends_at=admission.ends_at,
    )
    made = write_identity(
        folder, facts, key=_pem(key), certificate=admission.certificate.encode(), authority=clinic.authority
    )
    forget_waiting_key(folder)
    return made


def _admitted(host: str, port: int, context: ssl.SSLContext, path: str, said: Claim | Renewal) -> Admission:
    status, body = _ask(host, port, context, "POST", path, msgspec.json.encode(said))
    if status == 200:
        return _decoded(body, Admission)
    refusal = _decoded(body, Refusal)
    if status >= 500:
        raise UnavailableError(refusal.detail)
    raise RefusedError(refusal)


def _decoded(body: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.DecodeError as e:
        raise UnavailableError("the clinic's door gave an answer that is none") from e


def _ask(
    host: str, port: int, context: ssl.SSLContext, method: str, path: str, body: bytes | None
) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection(host, port, timeout=ASK_S, context=context)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_BYTES * 2)
    except ssl.SSLCertVerificationError as e:
        raise UnavailableError(f"{host}:{port} does not show a certificate of the clinic: {e.verify_message}") from e
    except (OSError, http.client.HTTPException) as e:
        raise UnavailableError(f"{host}:{port} does not answer: {e}; is the network up, is the name right?") from e
    finally:
        connection.close()


def _context(authority: bytes, *, is_time_known: bool) -> ssl.SSLContext:
    """TLS to whoever shows a certificate of this authority for the name that was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authority.decode())
    if not is_time_known:
        context.verify_flags |= NO_TIME_CHECK
    return context


def _request(key: ec.EllipticCurvePrivateKey) -> str:
    """A request for a certificate; it names nobody, for the clinic does."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _waiting(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The key with which this box asks. One that a failing card has spoilt is of no use, so another takes its place."""
    for _ in range(2):
        try:
            return _key(waiting_key(folder, _pem(ec.generate_private_key(ec.SECP256R1()))))
        except ValueError:
            forget_waiting_key(folder)
    raise MalformedError("key", f"no key can be kept beside {folder}: is the card broken?")


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "we have written it"
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
