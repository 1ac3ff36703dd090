"""A box becomes a gateway: the clinic's own authority, its door, a real broker, and our gateway's own words on the other side."""

import asyncio
import errno
import http.server
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from clinic_broker import ClinicBroker, clinic_broker
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from doors import open_door
from households import Household, enrol
from pydantic import SecretStr
from unit.gateway.sender import sending_by

from gateway import carrier, enrolment, invited
from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.config import Settings as GatewaySettings
from gateway.config import load_settings
from gateway.enrolment import RefusedError, find_clinic, pin_of
from gateway.identity import Identity, read_identity
from gateway.renewal import Renewal
from homevigil.embedded.child import free_port
from server import app as server_app
from server.clock import now
from server.config import Settings
from server.errors import UnavailableError
from server.store import certificates
from server.store import enrolment as gateways
from server.store.postgres import Pool
from server.trust import claims
from server.trust.authority import Authority
from server.trust.folders import Secrets
from vitals.enrolment import ALPHABET, Claim, Invitation, parse_invitation, spoken_pin
from vitals.errors import MalformedError

WITHIN_S = 20.0
ISSUER = "nurse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """Its secrets, its open door for new gateways, and its database."""

    pool: Pool
    secrets: Secrets
    authority: Authority
    port: int
    settings: Settings
    folder: Path

    def invite(self, gateway_id: str) -> Invitation:
        with self.pool.connection() as conn:
            code = claims.make_claim(conn, self.secrets.claim_key(), gateway_id=gateway_id, by=ISSUER, now=now())
        return Invitation(host="localhost", port=self.port, gateway_id=gateway_id, code=code, pin=self.authority.pin)

    def age(self, gateway_id: str, days: float) -> None:
        """As if the gateway had its certificate since so long."""
        with self.pool.connection() as conn:
            conn.execute(
                "update gateway_certificate set not_before = not_before - %s where gateway_id = %s",
                (timedelta(days=days), gateway_id),
            )

    def certificates(self) -> list[tuple[str, bool]]:
        """Of each certificate, in the order of giving: whose, and whether it is good."""
        with self.pool.connection() as conn:
            found = conn.execute(
                "select gateway_id, revoked_at is null from gateway_certificate order by issued_at"
            ).fetchall()
        return [(str(gateway_id), bool(is_good)) for gateway_id, is_good in found]


@pytest.fixture
def home(pool: Pool) -> Household:
    with pool.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


@pytest.fixture
def clinic(pool: Pool, database_url: str, tmp_path: Path) -> Iterator[Clinic]:
    with clinic_of(pool, database_url, tmp_path, made_at=now()) as clinic:
        yield clinic


@contextmanager
def clinic_of(pool: Pool, database_url: str, tmp_path: Path, *, made_at: datetime) -> Iterator[Clinic]:
    """Its authority and certificates are of `made_at`."""
    secrets = Secrets(tmp_path / "secrets")
    authority = secrets.create(
        name="test clinic", hosts=["localhost", "127.0.0.1"], watchdog_id="homevigil-watchdog", now=made_at
    )
    settings = Settings(
        database_url=SecretStr(database_url),
        secrets=str(tmp_path / "secrets"),
        enrol_host="127.0.0.1",
        enrol_port=free_port(),
        enrol_public_host="localhost",
    )
    loop, ending = asyncio.new_event_loop(), asyncio.Event()
    desk, options = server_app._desk(settings, pool)
    serving = threading.Thread(
        target=loop.run_until_complete,
        args=(server_app._serve(desk, settings.enrol_host, settings.enrol_port, ending, **options),),
    )
    serving.start()
    clinic = Clinic(
        pool=pool,
        secrets=secrets,
        authority=authority,
        port=settings.enrol_port,
        settings=settings,
        folder=tmp_path / "secrets",
    )
    try:
        _until_open(settings.enrol_port)
        yield clinic
    finally:
        loop.call_soon_threadsafe(ending.set)
        serving.join()
        loop.close()


def _until_open(port: int) -> None:
    for _ in range(200):
        try:
            find_clinic("localhost", port)
        except enrolment.UnavailableError:
            threading.Event().wait(0.02)
        else:
            return
    pytest.fail("the door did not open")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the box writes who it is."""
    return tmp_path / "box" / "identity"


def become(folder: Path, invitation: Invitation) -> Identity:
    return enrolment.enrol(folder, invitation, is_time_known=True)


def test_a_box_with_the_code_is_the_gateway(clinic: Clinic, home: Household, folder: Path) -> None:
    identity = become(folder, clinic.invite(home.gateway_id))
    facts = identity.facts
    assert (facts.gateway_id, facts.zone, facts.mqtt_host, facts.mqtt_port) == (
        home.gateway_id,
        "Asia/Shanghai",
        "localhost",
        8883,
    )
    certificate = x509.load_pem_x509_certificate(identity.certificate_file.read_bytes())
    assert certificate.subject.rfc4514_string() == f"CN={home.gateway_id}"
    assert timedelta(days=89) < certificate.not_valid_after_utc - now() <= timedelta(days=90)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH], "it opens no server"
    assert (identity.key_file.stat().st_mode & 0o777, folder.resolve().stat().st_mode & 0o777) == (0o600, 0o700)
    assert read_identity(folder) == identity


def test_the_code_of_a_person_who_types_is_read_as_it_is_meant(clinic: Clinic, home: Household) -> None:
    invitation = clinic.invite(home.gateway_id)
    assert parse_invitation(f" {invitation.text} \n") == invitation
    assert len(invitation.code) == 6
    assert set(invitation.code) <= set(ALPHABET)
    for text in ("", "https://localhost/", invitation.text + "/more", invitation.text.replace(invitation.code, "AB")):
        with pytest.raises(MalformedError):
            parse_invitation(text)


def test_five_wrong_codes_end_the_claim_and_the_right_one_comes_too_late(
    clinic: Clinic, home: Household, folder: Path
) -> None:
    invitation = clinic.invite(home.gateway_id)
    wrong = msgspec.structs.replace(invitation, code="222222" if invitation.code != "222222" else "333333")
    for _ in range(claims.TRIES):
        with pytest.raises(RefusedError, match="wrong, used or expired"):
            become(folder, wrong)
    with pytest.raises(RefusedError, match="wrong, used or expired"):
        become(folder, invitation)
    assert clinic.certificates() == []
    assert read_identity(folder) is None
    assert become(folder, clinic.invite(home.gateway_id)), "a new code is a new chance"


def test_a_code_is_for_one_box_and_for_one_gateway(clinic: Clinic, home: Household, folder: Path, pool: Pool) -> None:
    invitation = clinic.invite(home.gateway_id)
    become(folder, invitation)
    with pytest.raises(RefusedError, match="wrong, used or expired"):
        become(folder.with_name("another"), invitation)
    with pool.connection() as conn:
        gateways.add_gateway(conn, "gw-next-door", "Asia/Shanghai")
    fresh = clinic.invite(home.gateway_id)
    with pytest.raises(RefusedError):
        become(folder, msgspec.structs.replace(fresh, gateway_id="gw-next-door"))
    assert clinic.certificates() == [(home.gateway_id, True)]


def test_a_code_is_good_for_a_quarter_of_an_hour(clinic: Clinic, home: Household, folder: Path) -> None:
    invitation = clinic.invite(home.gateway_id)
    with clinic.pool.connection() as conn:
        conn.execute("update gateway_claim set expires_at = expires_at - interval '15 minutes'")
    with pytest.raises(RefusedError, match="expired"):
        become(folder, invitation)


def test_a_second_code_ends_the_first(clinic: Clinic, home: Household, folder: Path) -> None:
    first, second = clinic.invite(home.gateway_id), clinic.invite(home.gateway_id)
    with pytest.raises(RefusedError):
        become(folder, first)
    become(folder, second)


def test_an_answer_that_was_lost_is_asked_for_again(
    clinic: Clinic, home: Household, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = clinic.invite(home.gateway_id)
    with monkeypatch.context() as lost:
        lost.setattr(enrolment, "_take_up", lambda *_: (_ for _ in ()).throw(OSError("the plug was pulled")))
        for _ in range(claims.TRIES + 1):
            with pytest.raises(OSError, match="plug"):
                become(folder, invitation)
    assert read_identity(folder) is None
    become(folder, invitation)
    assert clinic.certificates() == [(home.gateway_id, True)], "one certificate, however often it was asked for"


def test_a_box_that_is_enrolled_anew_shuts_out_the_one_before(clinic: Clinic, home: Household, folder: Path) -> None:
    before = become(folder, clinic.invite(home.gateway_id))
    serial = x509.load_pem_x509_certificate(before.certificate_file.read_bytes()).serial_number
    become(folder.with_name("new box"), clinic.invite(home.gateway_id))
    assert clinic.certificates() == [(home.gateway_id, False), (home.gateway_id, True)]
    listed = x509.load_pem_x509_crl(clinic.secrets.list_path.read_bytes())
    assert [each.serial_number for each in listed] == [serial]


def test_somebody_else_who_answers_is_told_nothing(clinic: Clinic, home: Household, folder: Path) -> None:
    invitation = clinic.invite(home.gateway_id)
    other = Authority.create(name="another clinic", now=now())
    with pytest.raises(MalformedError) as refused:
        become(folder, msgspec.structs.replace(invitation, pin=other.pin))
    assert refused.value.reason == "pin"
    with clinic.pool.connection() as conn:
        assert conn.execute("select tries_left from gateway_claim").fetchall() == [(claims.TRIES,)]


class _Impostor(http.server.BaseHTTPRequestHandler):
    """Between the box and the clinic: it knows the clinic's certificate, as everybody may, and adds its own."""

    shown = b""
    told: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        self._answer(200, self.shown)

    def do_POST(self) -> None:
        self.told.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(403, b'{"reason": "claim", "detail": "thanks"}')

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.mark.parametrize("order", ["the clinic's first", "its own first", "one of them twice"])
def test_somebody_who_shows_the_clinics_authority_beside_their_own_is_told_nothing(
    tmp_path: Path, folder: Path, order: str
) -> None:
    """Of two certificates one would be compared with the pin and both trusted. Again and again, for luck may hide it."""
    for _ in range(6):
        clinic, own = (Authority.create(name=name, now=now()) for name in ("clinic", "impostor"))
        both = [clinic.certificate, own.certificate]
        shown = {"its own first": both[::-1], "one of them twice": [*both, clinic.certificate]}.get(order, both)
        issued = own.issue_for_server(["localhost"], now=now())
        (tmp_path / "own.pem").write_bytes(issued.certificate + issued.key)
        handler = type("Handler", (_Impostor,), {"shown": b"".join(shown), "told": []})
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "own.pem")
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as impostor:
            impostor.socket = context.wrap_socket(impostor.socket, server_side=True)
            threading.Thread(target=impostor.serve_forever, daemon=True).start()
            invitation = Invitation(
                host="localhost", port=impostor.server_port, gateway_id="gw-1", code="ABC234", pin=clinic.pin
            )
            try:
                with pytest.raises(MalformedError):
                    become(folder, invitation)
            finally:
                impostor.shutdown()
        assert handler.told == []  # type: ignore[attr-defined]


def test_a_door_with_the_right_authority_and_the_wrong_name_is_told_nothing(
    clinic: Clinic, home: Household, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has only heard the authority's certificate can show it, and cannot speak for it."""
    invitation = clinic.invite(home.gateway_id)
    clinic_by_address = msgspec.structs.replace(invitation, host="127.0.0.2")
    with pytest.raises(enrolment.UnavailableError, match=r"does not (show a certificate of the clinic|answer)"):
        become(folder, clinic_by_address)


def request_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, common_name: str = "") -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def post(clinic: Clinic, path: str, body: bytes, shown: Identity | None = None) -> tuple[int, bytes]:
    context = ssl.create_default_context(cadata=clinic.authority.certificate.decode())
    if shown is not None:
        context.load_cert_chain(shown.certificate_file, shown.key_file)
    return enrolment._ask("localhost", clinic.port, context, "POST", path, body)


@pytest.mark.parametrize("name", ["#", "intake", "gw-next-door", "a/b", "+"])
def test_what_a_request_says_of_itself_is_not_heeded(clinic: Clinic, home: Household, name: str) -> None:
    invitation = clinic.invite(home.gateway_id)
    claim = Claim(
        gateway_id=home.gateway_id,
        code=invitation.code,
        request=request_of(ec.generate_private_key(ec.SECP256R1()), name),
    )
    status, body = post(clinic, "/enrol", msgspec.json.encode(claim))
    assert status == 200
    given = x509.load_pem_x509_certificate(msgspec.json.decode(body)["certificate"].encode())
    assert given.subject.rfc4514_string() == f"CN={home.gateway_id}"


def test_a_request_must_be_one_with_a_key_of_the_right_kind(clinic: Clinic, home: Household) -> None:
    weak = request_of(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    curve = request_of(ec.generate_private_key(ec.SECP384R1()))
    for request in ("no request", weak, curve):
        claim = Claim(gateway_id=home.gateway_id, code=clinic.invite(home.gateway_id).code, request=request)
        status, body = post(clinic, "/enrol", msgspec.json.encode(claim))
        assert (status, msgspec.json.decode(body)["reason"]) == (400, "request")
    assert clinic.certificates() == []


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"", (400, "decode")),
        (b"{}", (400, "decode")),
        (b'{"gateway_id": "gw", "code": "abc", "request": "x"}', (400, "decode")),
        (b"[" * 5000, (400, "decode")),
        (b" " * 20_000, (413, "size")),
    ],
    ids=["nothing", "empty", "no code", "deep", "long"],
)
def test_nonsense_is_answered_with_a_word(clinic: Clinic, body: bytes, answer: tuple[int, str]) -> None:
    status, said = post(clinic, "/enrol", body)
    assert (status, msgspec.json.decode(said)["reason"]) == answer


@pytest.mark.parametrize("name", ["intake", "homevigil-watchdog"])
def test_no_box_becomes_a_part_of_the_server(clinic: Clinic, name: str) -> None:
    reserved = ("intake", "homevigil-watchdog")
    with clinic.pool.connection() as conn:
        gateways.add_gateway(conn, name, "Asia/Shanghai")
        with pytest.raises(MalformedError, match="part of the server"):
            claims.make_claim(conn, clinic.authority, gateway_id=name, by=ISSUER, now=now(), reserved=reserved)


def test_a_box_that_does_not_know_the_time_yet_trusts_the_clinic_whatever_its_dates_are(
    pool: Pool, database_url: str, tmp_path: Path, home: Household, folder: Path
) -> None:
    """As before anybody has told a Raspberry Pi the time: all certificates are of the future."""
    later = now() + timedelta(days=10)
    with clinic_of(pool, database_url, tmp_path, made_at=later) as clinic:
        invitation = clinic.invite(home.gateway_id)
        with pytest.raises(enrolment.UnavailableError, match="not yet valid"):
            become(folder, invitation)
        identity = enrolment.enrol(folder, invitation, is_time_known=False)
        settings = load_gateway_settings(folder, tmp_path)
        with clinic_broker(clinic.folder / "broker", has_certificates=True) as broker:
            for is_time_known in (True, False):
                context = carrier._tls(settings, identity.authority_file, is_time_known)
                with socket.create_connection(("localhost", broker.port)) as plain:
                    if is_time_known:
                        with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
                            context.wrap_socket(plain, server_hostname="localhost")
                    else:
                        context.wrap_socket(plain, server_hostname="localhost").close()
                with (
                    pytest.raises(ssl.SSLCertVerificationError),
                    socket.create_connection(("localhost", broker.port)) as plain,
                ):
                    context.wrap_socket(plain, server_hostname="another.example")


def load_gateway_settings(folder: Path, tmp_path: Path) -> GatewaySettings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOMEVIGIL_GATEWAY_IDENTITY", str(folder))
        patch.setenv("HOMEVIGIL_GATEWAY_OUTBOX", str(tmp_path / "outbox.sqlite"))
        return load_settings()


@pytest.mark.parametrize("typed", ["right", "wrong", "too short"])
def test_without_a_qr_a_person_types_what_the_clinic_reads_out(
    clinic: Clinic, home: Household, folder: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    pin = spoken_pin(clinic.authority.pin)
    words = {"right": pin[:19].upper(), "wrong": spoken_pin("0" * 64)[:19], "too short": pin[:14]}[typed]
    monkeypatch.setattr("typer.prompt", lambda _: words)
    code = clinic.invite(home.gateway_id).code
    done = invited.become(
        folder,
        invitation=None,
        host="localhost",
        port=clinic.port,
        gateway_id=home.gateway_id,
        code=code.lower(),
        pin=None,
    )
    assert done == (0 if typed == "right" else 2)
    assert (read_identity(folder) is not None) == (typed == "right")


# renewal


def test_from_its_sixtieth_day_on_a_certificate_is_renewed_by_itself(
    clinic: Clinic, home: Household, folder: Path
) -> None:
    first = become(folder, clinic.invite(home.gateway_id))
    before = first.certificate_file.read_bytes()
    with pytest.raises(RefusedError) as early:
        enrolment.renew(first, is_time_known=True)
    assert early.value.reason == "too_early"
    clinic.age(home.gateway_id, 60)
    second = enrolment.renew(first, is_time_known=True)
    assert second.certificate_file.read_bytes() != before
    assert second.facts.renew_from > now() + timedelta(days=59)
    assert clinic.certificates() == [(home.gateway_id, True)] * 2, "the one before stays good until its end"
    assert read_identity(folder) == second


def test_a_renewal_whose_answer_was_lost_gives_the_same_certificate_again(
    clinic: Clinic, home: Household, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = become(folder, clinic.invite(home.gateway_id))
    clinic.age(home.gateway_id, 61)
    with monkeypatch.context() as lost:
        lost.setattr(enrolment, "_take_up", lambda *_: (_ for _ in ()).throw(OSError("the plug was pulled")))
        with pytest.raises(OSError, match="plug"):
            enrolment.renew(first, is_time_known=True)
    assert read_identity(folder) == first
    enrolment.renew(first, is_time_known=True)
    assert len(clinic.certificates()) == 2


@pytest.mark.parametrize("state", ["revoked", "suspended"])
def test_a_gateway_that_is_shut_out_renews_nothing(clinic: Clinic, home: Household, folder: Path, state: str) -> None:
    identity = become(folder, clinic.invite(home.gateway_id))
    clinic.age(home.gateway_id, 61)
    with clinic.pool.connection() as conn:
        conn.execute("update gateway set state = %s where gateway_id = %s", (state, home.gateway_id))
    with pytest.raises(RefusedError) as refused:
        enrolment.renew(identity, is_time_known=True)
    assert refused.value.reason == "shut_out"


def test_nobody_renews_without_a_certificate_or_with_a_revoked_one(
    clinic: Clinic, home: Household, folder: Path
) -> None:
    identity = become(folder, clinic.invite(home.gateway_id))
    clinic.age(home.gateway_id, 61)
    body = msgspec.json.encode({"request": request_of(ec.generate_private_key(ec.SECP256R1()))})
    assert post(clinic, "/renew", body)[0] == 403
    with clinic.pool.connection() as conn:
        certificates.revoke(conn, home.gateway_id, now=now())
    assert post(clinic, "/renew", body, identity)[0] == 403
    assert len(clinic.certificates()) == 1


# what the box has on its disk


def test_whatever_stops_the_writing_the_old_identity_or_the_new_one_is_in_force(
    clinic: Clinic, home: Household, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call to the file system fails once, as on a full disk, or is where the power goes."""
    first = become(folder, clinic.invite(home.gateway_id))
    before = first.certificate_file.read_bytes()
    stops = failed = 0
    has_refused = True
    while has_refused:
        invitation = clinic.invite(home.gateway_id)
        _full_disk.set_after(stops)
        try:
            become(folder, invitation)
        except OSError:
            failed += 1
        finally:
            has_refused = _full_disk.end()
        stops += 1
        found = read_identity(folder)
        assert found is not None
        key = enrolment._key(found.key_file.read_bytes())
        certificate = x509.load_pem_x509_certificate(found.certificate_file.read_bytes())
        assert certificate.public_key() == key.public_key(), f"half of each after {stops} calls"
    assert failed > 8
    assert folder.joinpath("gateway.crt").read_bytes() != before
    assert [path.name for path in folder.parent.iterdir() if path.is_dir() and not path.is_symlink()] == [
        folder.resolve().name
    ]


WRITES = ("os.mkdir", "os.symlink", "os.rename", "open", "os.remove")


class _FullDisk:
    """Refuses one call that changes files, after so many that it has let pass."""

    def __init__(self) -> None:
        self._left: int | None = None

    def set_after(self, calls: int) -> None:
        self._left = calls

    def end(self) -> bool:
        """Whether it has refused anything."""
        left, self._left = self._left, None
        return left is not None and left < 0

    def __call__(self, event: str, _: tuple[object, ...]) -> None:
        is_the_box = threading.current_thread() is threading.main_thread()
        if self._left is not None and is_the_box and event in WRITES:
            self._left -= 1
            if self._left == -1:
                raise OSError(errno.ENOSPC, "No space left on device")


_full_disk = _FullDisk()
sys.addaudithook(_full_disk)


# all of it


@pytest.fixture
def broker(clinic: Clinic) -> Iterator[ClinicBroker]:
    """The clinic's broker by the clinic's own certificates."""
    with clinic_broker(clinic.folder / "broker", has_certificates=True) as broker:
        yield broker


async def test_the_gateway_renews_by_itself_and_says_why_where_it_cannot(
    clinic: Clinic, home: Household, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await asyncio.to_thread(become, folder, clinic.invite(home.gateway_id))
    ends_at = first.facts.ends_at
    clock = Clock(wall=lambda: now() + timedelta(days=61), is_synchronised=lambda: True)
    told = asyncio.Event()
    renewal = Renewal(first, clock=clock, on_renewed=told.set)
    monkeypatch.setattr("gateway.renewal.RETRY", Backoff(first_s=0.05, longest_s=0.1))
    (folder.parent / ".identity.waiting.key").write_bytes(b"spoilt by a card")
    running = asyncio.create_task(renewal.run())
    async with asyncio.timeout(WITHIN_S):
        while renewal.why is None:  # noqa: ASYNC110  # it is refused in a thread
            await asyncio.sleep(0.01)
        assert "too early" in renewal.why or "to be renewed from" in renewal.why
        assert renewal.describe()["days_left"] == 28
        await asyncio.to_thread(clinic.age, home.gateway_id, 61)
        await told.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert renewal.describe()["why_not_renewed"] is None
    second = read_identity(folder)
    assert second is not None
    assert second.facts.ends_at > ends_at - timedelta(seconds=1)
    assert len(clinic.certificates()) == 2


async def test_a_box_that_was_enrolled_at_its_terminal_delivers_and_is_cut_off_when_it_is_revoked(
    clinic: Clinic,
    broker: ClinicBroker,
    home: Household,
    folder: Path,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = clinic.folder / "server"
    settings = Settings(
        database_url=SecretStr(database_url),
        mqtt_host="localhost",
        mqtt_port=broker.port,
        mqtt_ca_file=str(server / "ca.crt"),
        mqtt_cert_file=str(server / "intake.crt"),
        mqtt_key_file=str(server / "intake.key"),
    )
    said = await asyncio.to_thread(_enrol_at_the_terminal, clinic.invite(home.gateway_id).text, folder)
    assert said.splitlines()[0] == f"this box is {home.gateway_id} now; it sends to localhost:8883"
    monkeypatch.setenv("HOMEVIGIL_GATEWAY_IDENTITY", str(folder))
    monkeypatch.setenv("HOMEVIGIL_GATEWAY_OUTBOX", str(tmp_path / "outbox.sqlite"))
    monkeypatch.setenv("HOMEVIGIL_GATEWAY_MQTT_PORT", str(broker.port))
    with open_door(settings, clinic.pool):
        async with sending_by(load_settings()) as sender:
            assert sender.outbox.keep(home.pressure(now() - timedelta(minutes=5))) == 1
            sender.uplink.wake()
            await sender.until(lambda: sender.outbox.counts().confirmed == 1, within_s=WITHIN_S)

            clinic.age(home.gateway_id, 61)
            identity = read_identity(folder)
            assert identity is not None
            await asyncio.to_thread(enrolment.renew, identity, is_time_known=True)
            sender.uplink.reconnect()
            await sender.until(lambda: not sender.uplink.is_connected, within_s=WITHIN_S)
            sender.outbox.keep(home.pressure(now() - timedelta(minutes=4)))
            await sender.until(lambda: sender.outbox.counts().confirmed == 2, within_s=WITHIN_S)

            await asyncio.to_thread(_revoke, home.gateway_id, clinic, database_url)
            sender.outbox.keep(home.pressure(now() - timedelta(minutes=3)))
            sender.uplink.wake()
            await sender.until(lambda: _held(clinic) > 0, within_s=WITHIN_S)
            assert sender.uplink.is_connected, (
                "the broker leaves who is connected alone; the intake does not answer any more"
            )
            assert sender.outbox.counts().confirmed == 2
            broker.process.send_signal(signal.SIGHUP)
            sender.uplink.reconnect()
            await sender.until(lambda: "certificate verify failed" in broker.log, within_s=WITHIN_S)
            assert sender.outbox.counts().confirmed == 2


def _held(clinic: Clinic) -> int:
    with clinic.pool.connection() as conn:
        (row,) = conn.execute("select count(*) from quarantine").fetchall()
    return int(row[0])


def _enrol_at_the_terminal(text: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "enrol", text],
        env={**os.environ, "HOMEVIGIL_GATEWAY_IDENTITY": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _revoke(gateway_id: str, clinic: Clinic, database_url: str) -> None:
    with clinic.pool.connection() as conn:
        conn.execute(
            "insert into app_user (login, display_name, role, password_hash) values ('lin', 'Lin', 'doctor', '')"
        )
    said = subprocess.run(
        [sys.executable, "-m", "server", "gateway", "revoke", gateway_id, "--by", "lin", "--reason", "stolen"],
        env={
            **os.environ,
            "HOMEVIGIL_SERVER_DATABASE_URL": database_url,
            "HOMEVIGIL_SERVER_SECRETS": str(clinic.folder),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "revoked, with 2 certificates" in said.stdout


def test_without_an_authority_the_door_stays_closed(pool: Pool, database_url: str, tmp_path: Path) -> None:
    for secrets in (None, str(tmp_path)):
        with pytest.raises(UnavailableError, match="`server ca init`"):
            server_app._desk(Settings(database_url=SecretStr(database_url), secrets=secrets), pool)


def test_the_pin_is_of_the_whole_certificate(clinic: Clinic) -> None:
    assert pin_of(find_clinic("localhost", clinic.port).authority) == clinic.authority.pin
    with pytest.raises(MalformedError):
        pin_of(b"nothing of the kind")
