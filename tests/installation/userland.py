"""Debian for arm64 as far as a Python needs it, from Debian's own packages, for programs that an emulator runs.

Where packages come from is this machine's apt configuration; who signed them apt checks; nothing is installed and root is not
needed. It is kept in the user's cache folder: what is tested are the wheels, not Debian's last security update.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EMULATOR: Final = "qemu-aarch64"
PROCESSOR: Final = "cortex-a53"
"""The Raspberry Pi 3's and Zero 2 W's: whatever runs on it runs on the later ones. (`max` signs pointers, ten times as slow.)"""
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class CannotBuildError(Exception):
    """The sentence says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Userland:
    """A folder with Debian's libraries and Python for arm64."""

    root: Path
    python_version: str

    @property
    def through(self) -> list[str]:
        """What a program for arm64 is run with."""
        return [EMULATOR, "-cpu", PROCESSOR, "-L", str(self.root)]

    @property
    def python(self) -> list[str]:
        """The system's Python."""
        return [*self.through, f"{self.root}/usr/bin/python{self.python_version}"]


def userland(suite: str, python_version: str) -> Userland:
    """Debian `suite`, made if it is not there yet (ten seconds with the network). Raises `CannotBuildError`."""
    for program, package in ((EMULATOR, "qemu-user"), ("apt-get", "apt"), ("dpkg-deb", "dpkg")):
        if shutil.which(program) is None:
            raise CannotBuildError(
                f"{program} is missing; to run this suite, on Debian: sudo apt-get install {package}"
            )
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "homevigil" / "arm64"
    place = cache / f"{suite}-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]}"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=cache) as temporary:
            made = _make(suite, Path(temporary))
            if not place.exists():  # somebody else may have been faster
                made.rename(place)
    return Userland(root=place, python_version=python_version)


def _make(suite: str, work: Path) -> Path:
    for folder in ("state/lists/partial", "cache/archives/partial", "root/usr"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    signed = f" signed-by={KEYRING}" if KEYRING.exists() else ""
    (work / "sources.list").write_text(f"deb [arch=arm64{signed}] {mirror()} {suite} main\n")
    places = {
        "Dir::State": work / "state", "Dir::State::status": work / "status", "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": work / "sources.list", "Dir::Etc::sourceparts": "/dev/null", "APT::Architecture": "arm64",
        "APT::Architectures": "arm64", "APT::Sandbox::User": "", "Acquire::Languages": "none", "Acquire::Retries": "3",
    }  # fmt: skip
    apt = ["apt-get", "-q", "-y", *(word for name, value in places.items() for word in ("-o", f"{name}={value}"))]
    _run(*apt, "update")
    _run(*apt, "install", "--download-only", "--no-install-recommends", "python3")
    for name in ("bin", "lib", "sbin"):  # as Debian has them: trixie's packages hold nothing outside usr
        (work / "root" / name).symlink_to(f"usr/{name}")
        (work / "root" / "usr" / name).mkdir()
    for package in sorted((work / "cache/archives").glob("*.deb")):
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
        into = ["tar", "-x", "--no-same-owner", "--keep-directory-symlink", "-C", str(work / "root")]
        subprocess.run(into, input=unpacked, check=True)
    return work / "root"


def mirror() -> str:
    wanted = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    for line in _run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages").splitlines():
        origin, label, uri = line.split("|")
        if (origin, label) == ("Debian", "Debian"):
            return uri.rstrip("/")
    raise CannotBuildError("apt on this machine knows no mirror of Debian; run `sudo apt-get update`, on a Debian")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotBuildError(f"{' '.join(command[:1] + command[-2:])} failed: {done.stderr[-800:]}")
    return done.stdout
