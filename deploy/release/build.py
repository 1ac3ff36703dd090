"""The steps from lock file and tree to a release: fetch wheels, build ours, lay out, list, sign, pack.

What goes in is named by hashes (`deploy/requirements/gateway.txt`) or lies in this tree; where wheels come from is pip's own
configuration. Nothing of the building machine goes in: no time, no user, no path.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.installation.wheels import list_name, refuse_unusual

ROOT: Final = Path(__file__).parents[2]
LOCK: Final = ROOT / "deploy" / "requirements" / "gateway.txt"
PARTS: Final = ROOT / "deploy" / "gateway"
MACHINES: Final = ("aarch64", "x86_64")
"""Raspberry Pi 3 and newer with a 64-bit system; and any small PC."""
PYTHONS: Final = ((3, 11), (3, 12), (3, 13))
"""Raspberry Pi OS and Debian 12 have 3.11, 13 has 3.13; Ubuntu 24.04 has 3.12."""
PLATFORMS: Final = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""C libraries that every one of those systems has; pip takes the newest that a wheel offers."""
EPOCH: Final = 1580601600
"""The time of every file in a release: hatchling's own constant, 2020-02-02."""
EXECUTABLE: Final = ("install", "bin/")


class CannotBuildError(Exception):
    """The sentence says what to do."""


def release(machine: str, out: Path, *, sign_with: Path | None = None) -> list[Path]:
    """Build `homevigil-gateway-<version>-<machine>.tar` and `.pyz` into `out`. Returns both.

    Raises `CannotBuildError`, `CalledProcessError`.
    """
    out.mkdir(parents=True, exist_ok=True)
    name = f"homevigil-gateway-{version()}-{machine}"
    with tempfile.TemporaryDirectory(prefix="homevigil-release-") as temporary:
        folder = Path(temporary) / name
        lay_out(machine, folder)
        seal(folder, sign_with=sign_with)
        tar, single = out / f"{name}.tar", out / f"{name}.pyz"
        pack(folder, tar)
        pack_single(folder, single)
    return [tar, single]


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def lay_out(machine: str, folder: Path) -> None:
    """Everything that an installation needs, into a new folder; `seal` is still to come."""
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    ours = _own_wheel(wheels)
    for python in PYTHONS:
        fetched = fetch(machine, python)
        for wheel in fetched:
            shutil.copyfile(wheel, wheels / wheel.name)
        write_list(folder, python, sorted([*(wheel.name for wheel in fetched), ours.name]))
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            refuse_unusual(wheel.name, opened)
    (folder / "bundle.json").write_text(json.dumps({"version": version(), "machine": machine}) + "\n")
    for file in ("install", "sysusers.conf", "gateway.env"):
        shutil.copy(PARTS / file, folder / file)
    shutil.copytree(PARTS / "bin", folder / "bin")
    (folder / "units").mkdir()
    for unit in (*PARTS.glob("*.service"), *PARTS.glob("*.path")):
        shutil.copyfile(unit, folder / "units" / unit.name)
    shutil.copyfile(ROOT / "docs" / "how-to" / "install-a-gateway.md", folder / "README.md")
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")


def write_list(folder: Path, python: tuple[int, int], names: list[str]) -> None:
    """Which of the wheels a Python takes, with their digests."""
    lines = (f"{_digest(folder / 'wheels' / name)}  {name}\n" for name in names)
    (folder / list_name(python)).write_text("".join(lines))


def seal(folder: Path, *, sign_with: Path | None = None) -> None:
    """Write the list of all files with their digests, and its signature if there is a key."""
    sums = folder / "SHA256SUMS"
    for before in (sums, folder / "SHA256SUMS.sig"):
        before.unlink(missing_ok=True)
    sums.write_text("".join(f"{_digest(folder / name)}  {name}\n" for name in _files(folder)))
    if sign_with is not None:
        signature = ["-sign", "-inkey", str(sign_with), "-rawin", "-in", str(sums), "-out", f"{sums}.sig"]
        _run("openssl", "pkeyutl", *signature)


def pack(folder: Path, tar: Path) -> None:
    """One tar, the same bytes for the same files. Not compressed: wheels are."""
    fresh = tar.with_name(f".{tar.name}")
    with tarfile.open(fresh, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in _files(folder):
            content = (folder / name).read_bytes()
            member = tarfile.TarInfo(f"{folder.name}/{name}")
            member.size, member.mtime = len(content), EPOCH
            member.mode = 0o755 if name.startswith(EXECUTABLE) else 0o644
            archive.addfile(member, io.BytesIO(content))
    fresh.replace(tar)


def pack_single(folder: Path, single: Path) -> None:
    """One file that Python runs as it is: the wheels, their lists, and the few lines that unpack them once."""
    start = {
        "__main__.py": Path(__file__).with_name("single_file.py"),
        "gateway/__init__.py": ROOT / "gateway" / "__init__.py",
        "gateway/installation/__init__.py": ROOT / "gateway" / "installation" / "__init__.py",
        "gateway/installation/wheels.py": ROOT / "gateway" / "installation" / "wheels.py",
        "bundle.json": folder / "bundle.json",
        "LICENSE": folder / "LICENSE",
    }
    parts = start | {name: folder / name for name in _files(folder) if name.startswith("wheels/")}
    fresh = single.with_name(f".{single.name}")
    with fresh.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, source in parts.items():
                archive.writestr(zipfile.ZipInfo(name, (2020, 2, 2, 0, 0, 0)), source.read_bytes())
    fresh.chmod(0o755)
    fresh.replace(single)


def fetch(machine: str, python: tuple[int, int]) -> list[Path]:
    """The wheels of the lock for a machine and a Python, from the user's cache folder or, once for a lock, with pip."""
    tag = f"{python[0]}{python[1]}"
    place = cache() / f"{_digest(LOCK)[:16]}-{machine}-cp{tag}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=place.parent) as temporary:
            wheels = Path(temporary) / "wheels"
            platforms = [f"--platform={each}_{machine}" for each in PLATFORMS]
            wanted = ["--only-binary=:all:", "--no-deps", "--require-hashes", "-r", str(LOCK), "-d", str(wheels)]
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            _run(*pip, *platforms, f"--python-version={tag}", "--implementation=cp", *wanted)
            if not place.exists():  # somebody else may have been faster
                wheels.rename(place)
    return sorted(place.glob("*.whl"))


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "homevigil" / "wheels"


def _own_wheel(into: Path) -> Path:
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into))
    (wheel,) = into.glob("homevigil-*.whl")
    return wheel


def _files(folder: Path) -> Iterator[str]:
    return iter(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _run(*command: str) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)}
    try:
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    except FileNotFoundError as e:
        raise CannotBuildError(f"{command[0]} is not installed: {e}") from e
