"""The files of a release as they come to a machine, in a folder or a tar: whether they are whole, and who signed for them."""

import hashlib
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from gateway.installation.wheels import NotWholeError, list_name, read_list

SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
KEY: Final = Path("etc/homevigil/release.pub")
"""Whoever runs these gateways may put the key here (PEM, Ed25519) by which releases are signed: then no other is taken."""
LONGEST: Final = 300 * 2**20
"""Bytes that a release may come to, five times what it does: who made a tar is not known before it is unpacked, and the gateway
that runs needs the rest of the disk for its readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A folder with everything that an installation needs."""

    path: Path
    version: str
    machine: str

    @classmethod
    def at(cls, path: Path) -> "Bundle":
        """Raises `NotWholeError`."""
        try:
            said = json.loads((path / "bundle.json").read_text())
            return cls(path=path, version=said["version"], machine=said["machine"])
        except (OSError, ValueError, KeyError) as e:
            raise NotWholeError(f"{path} is not a release of the gateway: {e}") from e

    @property
    def made_from(self) -> str:
        """The digest of the digests of all files."""
        return hashlib.sha256((self.path / SUMS).read_bytes()).hexdigest()

    @property
    def pythons(self) -> list[tuple[int, int]]:
        """For which Pythons it has wheels."""
        tags = (path.stem.removeprefix("cp") for path in (self.path / "wheels").glob("cp*.txt"))
        return sorted((int(tag[0]), int(tag[1:])) for tag in tags)

    def check(self, root: Path) -> str:
        """Every file is the one that was built, and is signed if this machine asks for that. Returns by whom it is vouched for.

        Raises `NotWholeError`.
        """
        listed = read_list(self._text(SUMS))
        there = {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()}
        for name in sorted(there - {each.name for each in listed} - {SUMS, SIGNATURE}):
            raise NotWholeError(f"{name} is not a file of this release: unpack it again, into an empty folder")
        for each in listed:
            file = self.path / each.name
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != each.sha256:
                raise NotWholeError(f"{each.name} is missing or damaged: copy the release again")
        return self._check_signature(root / KEY)

    def read(self, name: str) -> bytes:
        """A file of the release. Raises `NotWholeError`."""
        try:
            return (self.path / name).read_bytes()
        except OSError as e:
            raise NotWholeError(f"{name} cannot be read ({e}): copy the release again") from e

    def wheels(self, python: tuple[int, int]) -> str:
        return self._text(list_name(python))

    def _text(self, name: str) -> str:
        return self.read(name).decode()

    def _check_signature(self, key: Path) -> str:
        if not key.exists():
            return "nobody has signed for it that this machine knows"
        openssl = [
            "openssl",
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            str(key),
            "-rawin",
            "-in",
            str(self.path / SUMS),
        ]
        try:
            done = subprocess.run(
                [*openssl, "-sigfile", str(self.path / SIGNATURE)], capture_output=True, text=True, check=False
            )
        except OSError as e:
            raise NotWholeError(f"the signature cannot be checked ({e}): sudo apt-get install openssl") from e
        if done.returncode != 0:
            raise NotWholeError(
                f"{SIGNATURE} is missing or was not made with the key of /{KEY}: nothing has been changed"
            )
        return f"signed with the key of /{KEY}"


def unpack(tar: Path, into: Path) -> Bundle:
    """The release in a tar. Raises `NotWholeError`."""
    try:
        with tarfile.open(tar) as archive:
            room = LONGEST
            for member in archive:
                room -= member.size
                if room < 0:
                    raise NotWholeError(f"{tar} is not a release of the gateway: it is longer than one can be")
                _write(member, archive, into)
    except (OSError, tarfile.TarError) as e:
        raise NotWholeError(f"{tar} cannot be unpacked: {e}") from e
    folders = [path for path in into.iterdir() if path.is_dir()]
    if len(folders) != 1:
        raise NotWholeError(f"{tar} is not a release of the gateway: it holds {len(folders)} folders")
    return Bundle.at(folders[0])


def _write(member: tarfile.TarInfo, archive: tarfile.TarFile, into: Path) -> None:
    """One plain file. Whoever made the tar is not known yet, and Debian 12's Python has no filters for tars."""
    path = PurePosixPath(member.name)
    content = archive.extractfile(member) if member.isfile() else None
    if content is None or path.is_absolute() or ".." in path.parts:
        raise NotWholeError(f"the tar holds {member.name}, which is not a file of a release")
    target = into / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.read())
    target.chmod(0o755 if member.mode & 0o100 else 0o644)
