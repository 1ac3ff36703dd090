"""A release of this tree for this machine, built once, and a folder that stands for a machine on which it is installed."""

import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.release import build
from gateway.installation.tree import Tree

SMALL_SYSTEMD = Path(__file__).parent / "installation" / "small_systemd.py"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked release of this tree for this type of machine."""
    folder = tmp_path_factory.mktemp("release") / "homevigil-gateway"
    build.lay_out(platform.machine(), folder)
    build.seal(folder)
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A folder that stands for a machine: its `etc`, `opt`, `usr`, `var`, and what of systemd an installation needs."""

    root: Path

    @property
    def tree(self) -> Tree:
        return Tree(self.root / "opt/homevigil")

    @property
    def state(self) -> Path:
        return self.root / "var/lib/homevigil-gateway"

    @property
    def settings(self) -> Path:
        return self.root / "etc/homevigil/gateway.env"

    @property
    def current(self) -> str:
        """The version that is to run."""
        release = self.tree.current
        assert release is not None
        return release.facts.version

    @property
    def systemctl(self) -> str:
        return str(self.root / "run" / "systemctl")

    @property
    def pid(self) -> int:
        """The process of the gateway; 0 if none runs."""
        said = subprocess.run([self.systemctl, "show"], capture_output=True, text=True, check=True).stdout
        return int(dict(line.split("=") for line in said.split())["MainPID"])

    def configure(self) -> None:
        """Settings such as a person writes, for a broker that does not answer."""
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        lines = ("ID='gw-1'", 'ZONE="Asia/Shanghai"', "MQTT_PORT=9")
        self.settings.write_text("# by hand\n" + "".join(f"HOMEVIGIL_GATEWAY_{line}\n" for line in lines))

    def install(self, bundle: Path, *options: str, service: bool = True) -> "subprocess.CompletedProcess[str]":
        return run(bundle / "install", *self._options(service), *options)

    def release(self, verb: str, *words: str, service: bool = True) -> "subprocess.CompletedProcess[str]":
        """`homevigil-gateway-release`, as the installed command."""
        command = self.tree.place / "current/bin/homevigil-gateway-release"
        return run(command, verb, *self._options(service), *words)

    def _options(self, service: bool) -> list[str]:
        return [f"--root={self.root}", "--steady-s=0.3", *([f"--systemctl={self.systemctl}"] if service else [])]


@pytest.fixture
def home() -> Iterator[Home]:
    """Nothing is installed and nothing configured. The service's user is whoever runs the tests: others cannot enter here."""
    if shutil.which("systemd-sysusers") is None:
        why = "systemd-sysusers is not installed; to run this suite: sudo apt-get install systemd"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    in_memory = Path("/dev/shm")  # an installation waits until the disk has everything, a busy disk minutes
    root = Path(tempfile.mkdtemp(prefix="homevigil-home-", dir=in_memory if os.access(in_memory, os.W_OK) else None))
    (root / "etc").mkdir()
    (root / "run").mkdir()
    me, mine = os.getuid(), os.getgid()
    (root / "etc/passwd").write_text(f"homevigil-gateway:x:{me}:{mine}::/:/usr/sbin/nologin\n")
    (root / "etc/group").write_text(f"homevigil-gateway:x:{mine}:\nbluetooth:x:{mine}:homevigil-gateway\n")
    systemctl = root / "run" / "systemctl"
    systemctl.write_text(f'#!/bin/sh\nexec {sys.executable} {SMALL_SYSTEMD} {root} "$@"\n')
    systemctl.chmod(systemctl.stat().st_mode | stat.S_IXUSR)
    home = Home(root=root)
    yield home
    if home.pid:
        os.kill(home.pid, signal.SIGKILL)
    shutil.rmtree(root)


def run(*command: object) -> "subprocess.CompletedProcess[str]":
    """As on a machine that has never seen the project."""
    words = list(map(str, command))
    return subprocess.run(words, env=bare(), capture_output=True, text=True, check=False, timeout=120)


def bare() -> dict[str, str]:
    """This environment, with this Python as the machine's python3, and none of the project's own tree in sight."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("HOMEVIGIL_")}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def another(bundle: Path, folder: Path, *, version: str, **edits: tuple[str, str]) -> Path:
    """The same release as another version of itself: in each `module` (`gateway_app` is gateway/app.py) one text is replaced."""
    shutil.copytree(bundle, folder, copy_function=os.link)
    (wheel,) = (folder / "wheels").glob("homevigil-*.whl")
    changed = wheel.with_name(f"homevigil-{version}-py3-none-any.whl")
    _rewrite(wheel, changed, version, {f"{name.replace('_', '/', 1)}.py": edit for name, edit in edits.items()})
    wheel.unlink()
    for python in build.PYTHONS:
        listed = folder / f"wheels/cp{python[0]}{python[1]}.txt"
        names = [line.split("  ")[1] for line in listed.read_text().splitlines()]
        listed.unlink()
        build.write_list(folder, python, sorted(changed.name if name == wheel.name else name for name in names))
    amend(folder, version=version)
    return folder


def amend(folder: Path, **facts: str) -> None:
    """Let a release say something else of itself."""
    said = json.loads((folder / "bundle.json").read_text()) | facts
    (folder / "bundle.json").unlink()
    (folder / "bundle.json").write_text(json.dumps(said))
    build.seal(folder)


def _rewrite(wheel: Path, changed: Path, version: str, edits: dict[str, tuple[str, str]]) -> None:
    import zipfile

    left = dict(edits)
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(changed, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename.endswith(".dist-info/METADATA"):
                content = content.replace(
                    f"\nVersion: {build.version()}\n".encode(), f"\nVersion: {version}\n".encode()
                )
            if member.filename in left:
                before, after = left.pop(member.filename)
                assert before.encode() in content, member.filename
                content = content.replace(before.encode(), after.encode())
            new.writestr(member.filename, content)
    assert not left, f"no such module: {left}"
