"""The clinic's broker as deploy/mosquitto has it, on a real mosquitto, with an authority and certificates made for the test."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from homevigil.embedded import child

SHIPPED = Path(__file__).parents[1] / "deploy" / "mosquitto"
WITHIN_S = 10
_NEW = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
_AUTHORITY = ("ca", "-config", "ca.conf", "-keyfile", "ca.key", "-cert", "ca.crt")
_SIGNS = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python 3.13 takes no authority that does not say so
_SIGNED = ("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicBroker:
    """It listens on `localhost`; `folder` holds its log, the authority and everybody's certificates as NAME.crt and NAME.key."""

    port: int
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def log(self) -> str:
        """What the broker has logged so far."""
        return (self.folder / "log").read_text()

    def issue(self, common_name: str, *, file: str | None = None) -> str:
        """A certificate of the clinic's authority; the name of its files."""
        name = file or common_name
        _issue(self.folder, common_name, name)
        return name

    def forge(self, common_name: str, *, file: str) -> str:
        """A certificate that says so, of an authority that is not the clinic's."""
        _openssl(
            self.folder, *_NEW, *_SIGNS, "-keyout", "other.key", "-out", "other.crt", "-subj", "/CN=test authority"
        )
        signed = [{"ca.crt": "other.crt", "ca.key": "other.key"}.get(word, word) for word in _SIGNED]
        _openssl(
            self.folder, *_NEW, *signed, "-keyout", f"{file}.key", "-out", f"{file}.crt", "-subj", f"/CN={common_name}"
        )
        return file

    def revoke(self, file: str) -> None:
        """Put a certificate on the list of the revoked, and let the broker know."""
        _openssl(self.folder, *_AUTHORITY, "-revoke", f"{file}.crt")
        self.publish_revoked()

    def publish_revoked(self, options: tuple[str, ...] = ()) -> None:
        """Write the list anew and have the broker read it, as an administrator does; who connects later is held against it."""
        _openssl(self.folder, *_AUTHORITY, "-gencrl", *options, "-out", "crl.pem")
        before = self.log.count("Reloading config")
        self.process.send_signal(signal.SIGHUP)
        log = self.folder / "log"
        child.wait_until(
            lambda: self.log.count("Reloading config") > before,
            process=self.process,
            within_s=WITHIN_S,
            what="the reading of the list",
            log=log,
        )


@contextmanager
def clinic_broker(
    folder: Path, *, changes: Mapping[str, str] | None = None, has_certificates: bool = False
) -> Iterator[ClinicBroker]:
    """The shipped configuration, running; `changes` replace lines of it, for tests that must see what they are there for.
    The folder may have certificates already."""
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if mosquitto is None or shutil.which("openssl") is None:
        why = "mosquitto or openssl is missing; to run this suite: sudo apt-get install mosquitto openssl"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    folder.mkdir(exist_ok=True)
    if not has_certificates:
        _make_certificates(folder)
    port = child.free_port()
    configuration = folder / "homevigil.conf"
    configuration.write_text(_shipped_configuration(folder, port, changes or {}))
    log = folder / "log"
    with log.open("wb") as sink:
        process = child.start([mosquitto, "-c", configuration], log=sink)
    try:
        child.wait_until(lambda: child.accepts(port), process=process, within_s=WITHIN_S, what="mosquitto", log=log)
        yield ClinicBroker(port=port, folder=folder, process=process)
    finally:
        child.stop(process)


def _shipped_configuration(folder: Path, port: int, changes: Mapping[str, str]) -> str:
    """The shipped file with this test's port and folders, these changes, a chattier log, and nothing else changed."""
    text = (SHIPPED / "homevigil.conf").read_text()
    moved = {
        "listener 8883": f"listener {port} 127.0.0.1",
        "/etc/mosquitto/certs": str(folder),
        "/etc/mosquitto/homevigil.acl": str(SHIPPED / "homevigil.acl"),
        "/var/lib/mosquitto/": f"{folder}/",
    }
    for shipped, here in (moved | dict(changes)).items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    account = "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
    return f"{text}\nlog_type information\nuser {account}\n"


def _make_certificates(folder: Path) -> None:
    """An authority, the broker's certificate, one for intake and two gateways, one that is revoked, one that signed itself."""
    _openssl(folder, *_NEW, *_SIGNS, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority")
    named = ("-addext", "subjectAltName=DNS:localhost")
    _openssl(folder, *_NEW, *_SIGNED, *named, "-keyout", "server.key", "-out", "server.crt", "-subj", "/CN=localhost")
    for name in ("intake", "gw-a", "gw-b", "gw-revoked"):
        _issue(folder, name, name)
    _openssl(folder, *_NEW, "-keyout", "stranger.key", "-out", "stranger.crt", "-subj", "/CN=gw-a")
    (folder / "index.txt").touch()
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=2\nunique_subject=no\n"
    )
    _openssl(folder, *_AUTHORITY, "-revoke", "gw-revoked.crt")
    _openssl(folder, *_AUTHORITY, "-gencrl", "-out", "crl.pem")


def _issue(folder: Path, common_name: str, file: str) -> None:
    _openssl(folder, *_NEW, *_SIGNED, "-keyout", f"{file}.key", "-out", f"{file}.crt", "-subj", f"/CN={common_name}")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
