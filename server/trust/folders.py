"""Where the clinic's keys and certificates lie, in one folder with one room for each who needs them, and how they are made.

    authority/  ca.key ca.crt claims.key                       whoever may admit: the role `enrol`, and the person at the terminal
    broker/     ca.crt crl.pem server.crt server.key           mosquitto
    server/     ca.crt intake.crt intake.key watchdog… enrol… claims.key   the server's own roles

Only what is in `authority` can make more of it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from server.store import certificates
from server.store.postgres import Connection
from server.trust import claim_key
from server.trust.authority import INTAKE, Authority, Issued, write_new, write_over
from server.trust.claim_key import FILE, ClaimKey, Keyed
from vitals.errors import UnavailableError

ENROL: Final = "enrol"

_Write = Callable[..., None]


class Secrets:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self.authority_folder = folder / "authority"
        self.list_path = folder / "broker" / "crl.pem"
        self.enrol_certificate = folder / "server" / f"{ENROL}.crt"
        self.enrol_key = folder / "server" / f"{ENROL}.key"
        self.authority_certificate = folder / "server" / "ca.crt"
        self.claims_file = folder / "server" / FILE
        self._folder = folder

    def claim_key(self) -> Keyed:
        """By which codes are kept; the authority itself, where `ca init` was of an older build. Raises `UnavailableError`."""
        kept = self.authority_folder / FILE
        return claim_key.read(kept) if kept.exists() else self.authority()

    def authority(self) -> Authority:
        """Raises `UnavailableError`."""
        return Authority.read(self.authority_folder)

    def create(self, *, name: str, hosts: Sequence[str], watchdog_id: str, now: datetime) -> Authority:
        """A new authority and everybody's first certificates; raises `FileExistsError` where anything is there already."""
        authority = Authority.create(name=name, now=now)
        authority.write(self.authority_folder)
        self._write_claim_key(claim_key.make(authority.pin), write_new)
        self._issue(authority, hosts, watchdog_id, now, write_new)
        write_new(self.list_path, authority.revocation_list((), now=now), mode=0o644)
        return authority

    def renew(self, *, hosts: Sequence[str], watchdog_id: str, now: datetime) -> Authority:
        """The server's own certificates anew, by the authority that is there."""
        authority, kept = self.authority(), self.authority_folder / FILE
        key = claim_key.read(kept) if kept.exists() else claim_key.make(authority.pin)
        self._write_claim_key(key, write_over)
        self._issue(authority, hosts, watchdog_id, now, write_over)
        return authority

    def write_list(self, conn: Connection, *, now: datetime) -> int:
        """The broker's list of the revoked anew, by the database; how many are on it."""
        revoked = certificates.revoked(conn, now=now)
        write_over(self.list_path, self.authority().revocation_list(revoked, now=now), mode=0o644)
        return len(revoked)

    def check(self) -> None:
        """Raises `UnavailableError` unless the door for new gateways can be opened with what is here."""
        for path in (self.enrol_certificate, self.enrol_key, self.authority_certificate):
            if not path.is_file():
                raise UnavailableError(f"{path} is missing; `server ca init` or `server ca renew` makes it")

    def _write_claim_key(self, key: ClaimKey, write: _Write) -> None:
        for path in (self.authority_folder / FILE, self.claims_file):
            write(path, bytes(key), mode=0o600)

    def _issue(
        self, authority: Authority, hosts: Sequence[str], watchdog_id: str, now: datetime, write: _Write
    ) -> None:
        for room in ("broker", "server"):
            write(self._folder / room / "ca.crt", authority.certificate, mode=0o644)
        self._put("broker", "server", authority.issue_for_server(hosts, now=now), write)
        self._put("server", ENROL, authority.issue_for_server(hosts, now=now), write)
        for name in (INTAKE, watchdog_id):
            self._put("server", name, authority.issue_for_client(name, now=now), write)

    def _put(self, room: str, name: str, issued: Issued, write: _Write) -> None:
        write(self._folder / room / f"{name}.key", issued.key, mode=0o600)
        write(self._folder / room / f"{name}.crt", issued.certificate, mode=0o644)
