"""Unpacks a set of wheels without pip: which files, of which content, a list says that was made when the release was built.

A wheel is a zip file; what an installer adds to it (scripts, headers, choices between files) ours do not need, and one that
would is refused when the release is built. Nothing is fetched.
"""

import hashlib
import io
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


class NotWholeError(Exception):
    """A file is missing or is not the one that the release was built with. The sentence says which and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of a list: a wheel's file name and its SHA-256 in hexadecimal."""

    name: str
    sha256: str


def list_name(python: tuple[int, int] | None = None) -> str:
    """Where in a release the list for a Python is; without `python`, for the running one."""
    major, minor = python or sys.version_info[:2]
    return f"wheels/cp{major}{minor}.txt"


def read_list(text: str) -> list[Listed]:
    """Lines as `sha256sum` writes them: digest, two spaces, file name."""
    lines = (line.split("  ", 1) for line in text.splitlines() if line)
    return [Listed(sha256=sha256, name=name) for sha256, name in lines]


def unpack_all(listed: list[Listed], read: Callable[[str], bytes], site: Path) -> None:
    """Unpack every wheel of a list into `site`, which need not exist; `read` gives a file of the release by its name.

    Raises `NotWholeError`; then `site` is half made and of no use.
    """
    for each in listed:
        content = read(f"wheels/{each.name}")
        if hashlib.sha256(content).hexdigest() != each.sha256:
            raise NotWholeError(f"{each.name} is not the file that this release was built with: copy the release again")
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            refuse_unusual(each.name, wheel)
            for member in wheel.infolist():
                _write(member, wheel, site)


def refuse_unusual(name: str, wheel: zipfile.ZipFile) -> None:
    """Raises `NotWholeError` for a wheel that must be installed, not unpacked, or would leave its folder."""
    for path in map(PurePosixPath, wheel.namelist()):
        if path.is_absolute() or ".." in path.parts or path.parts[0].endswith(".data"):
            raise NotWholeError(f"{name} holds {path}: this wheel cannot be used by unpacking it")


def _write(member: zipfile.ZipInfo, wheel: zipfile.ZipFile, site: Path) -> None:
    target = site / member.filename
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(wheel.read(member))
