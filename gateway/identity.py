"""Who this gateway is to the clinic: what enrolment has written, read at every start and never changed in place.

The folder that the settings name is a symbolic link to one of its versions, each whole: whatever happens while a new one is
written, the link shows the old one or the new one. How a certificate is got is `gateway.enrolment`'s; this module brings no
cryptography.
"""

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from vitals.errors import MalformedError
from vitals.reading import Identifier, ZoneName

FACTS: Final = "gateway.json"
KEY: Final = "gateway.key"
CERTIFICATE: Final = "gateway.crt"
AUTHORITY: Final = "ca.crt"

NO_TIME_CHECK: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL. A Raspberry Pi has no battery-backed clock: before anybody has told it the time, every
certificate is of the future, and who could tell it the time is behind one. Whose it is, is checked all the same."""

Port = Annotated[int, Meta(ge=1, le=65535)]


class Facts(Struct, frozen=True, kw_only=True):
    """What is in `FACTS`: names, places and dates; no secret."""

    gateway_id: Identifier
    zone: ZoneName
    mqtt_host: str
    mqtt_port: Port
    enrol_host: str
    enrol_port: Port
    renew_from: Annotated[datetime, Meta(tz=True)]
    ends_at: Annotated[datetime, Meta(tz=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An identity that is in force. Its files keep their names when a new version takes their place."""

    folder: Path
    facts: Facts

    @property
    def key_file(self) -> Path:
        return self.folder / KEY

    @property
    def certificate_file(self) -> Path:
        return self.folder / CERTIFICATE

    @property
    def authority_file(self) -> Path:
        return self.folder / AUTHORITY


def end_in_words(facts: Facts, now: datetime) -> str:
    """What is to be said of a certificate, which is the subject: until when it is good, and what to do when that is over."""
    if now < facts.ends_at:
        return f"is good until {facts.ends_at:%Y-%m-%d}"
    return (
        f"has ended on {facts.ends_at:%Y-%m-%d}: the clinic lets this box in no more. Ask it for a new code and enrol the box"
        " again (`homevigil-gateway enrol`); what it has read meanwhile is kept and sent then"
    )


def read_identity(folder: Path) -> Identity | None:
    """The identity in `folder`; None if there is none yet. Raises `MalformedError` (`identity`) for one that is not whole."""
    try:
        facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=Facts)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as e:
        raise MalformedError("identity", f"{folder / FACTS} cannot be read: {e}; enrol this gateway again") from e
    identity = Identity(folder=folder, facts=facts)
    for path in (identity.key_file, identity.certificate_file, identity.authority_file):
        if not path.is_file():
            raise MalformedError("identity", f"{path} is missing; enrol this gateway again")
    return identity


def write_identity(folder: Path, facts: Facts, *, key: bytes, certificate: bytes, authority: bytes) -> Identity:
    """Put a new version in force, durably; raises `OSError`, and then the old one or the new one is: say it again."""
    beside = folder.parent
    beside.mkdir(parents=True, exist_ok=True, mode=0o700)
    version = _new_version(folder)
    files = {FACTS: msgspec.json.encode(facts), KEY: key, CERTIFICATE: certificate, AUTHORITY: authority}
    try:
        version.mkdir(mode=0o700)
        for name, content in files.items():
            _write_durably(version / name, content, mode=0o600 if name == KEY else 0o644)
        _sync_folder(version)
        link = folder.with_name(f".{folder.name}.link")
        link.unlink(missing_ok=True)
        link.symlink_to(version.name)
        link.replace(folder)
    except OSError:
        shutil.rmtree(version, ignore_errors=True)
        raise
    _sync_folder(beside)
    _remove_others(folder, version)
    return Identity(folder=folder, facts=facts)


def waiting_key(folder: Path, new_key: bytes) -> bytes:
    """The key with which a certificate is being asked for, durable before it is shown to anybody: `new_key`, unless there is one
    already, for an answer that got lost must be asked for again by the same key."""
    path = _waiting(folder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(f"{path.name}.new")
        beside.unlink(missing_ok=True)
        _write_durably(beside, new_key, mode=0o600)
        beside.replace(path)
        _sync_folder(path.parent)
    return path.read_bytes()


def forget_waiting_key(folder: Path) -> None:
    """What it was for has been answered for good."""
    _waiting(folder).unlink(missing_ok=True)


def _waiting(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.waiting.key")


def _new_version(folder: Path) -> Path:
    numbers = [
        int(n) for path in folder.parent.glob(f"{folder.name}.*") if (n := path.name.rpartition(".")[2]).isdigit()
    ]
    return folder.with_name(f"{folder.name}.{max(numbers, default=0) + 1}")


def _remove_others(folder: Path, version: Path) -> None:
    for path in folder.parent.glob(f"{folder.name}.*"):
        if path != version and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _write_durably(path: Path, content: bytes, *, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
