"""What is built: the same bytes from the same tree, only what the lock names, and a single file that runs by itself."""

import os
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from fix_release import run

from deploy.release import build
from gateway.installation.wheels import list_name, read_list


def test_two_builds_of_one_tree_are_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again" / bundle.name
    build.lay_out(platform.machine(), again)
    build.seal(again)
    for made, folder in (("one", bundle), ("two", again)):
        build.pack(folder, tmp_path / f"{made}.tar")
        build.pack_single(folder, tmp_path / f"{made}.pyz")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert (tmp_path / "one.pyz").read_bytes() == (tmp_path / "two.pyz").read_bytes()


def test_for_every_python_it_holds_what_the_lock_names_for_linux_and_our_own_wheel(bundle: Path) -> None:
    lock = re.findall(r"^(\S+)==(\S+)(.*)", build.LOCK.read_text(), re.MULTILINE)
    elsewhere = ("win32", "darwin")
    wanted = {
        f"{name.replace('-', '_')}-{version}" for name, version, rest in lock if not any(e in rest for e in elsewhere)
    }
    for python in build.PYTHONS:
        names = [each.name for each in read_list((bundle / list_name(python)).read_text())]
        assert {"-".join(name.split("-")[:2]) for name in names} == wanted | {f"homevigil-{build.version()}"}


def test_every_wheel_of_a_list_is_for_this_machine_or_for_any(bundle: Path) -> None:
    for python in build.PYTHONS:
        tag = f"cp{python[0]}{python[1]}"
        for each in read_list((bundle / list_name(python)).read_text()):
            is_for_this_python = f"-{tag}-" in each.name or "-abi3-" in each.name
            assert "-none-any." in each.name or (is_for_this_python and platform.machine() in each.name)


def test_it_names_every_file_and_no_place_of_the_machine_that_built_it(bundle: Path) -> None:
    named = {line.split("  ")[1] for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert there - named == {"SHA256SUMS"}
    texts = [path for path in bundle.rglob("*") if path.is_file() and path.suffix != ".whl"]
    (ours,) = (bundle / "wheels").glob("homevigil-*.whl")
    with zipfile.ZipFile(ours) as wheel:
        inside = b"".join(wheel.read(name) for name in wheel.namelist())
    assert str(build.ROOT).encode() not in inside + b"".join(path.read_bytes() for path in texts)


def test_the_single_file_runs_and_unpacks_itself_once(bundle: Path, tmp_path: Path) -> None:
    single = tmp_path / "gateway.pyz"
    build.pack_single(bundle, single)
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    started = []
    for _ in range(2):
        done = run("env", *(f"{k}={v}" for k, v in cache.items()), sys.executable, "-I", single, "--help")
        assert done.returncode == 0, done.stderr
        assert "status" in done.stdout
        started.append({path.stat().st_ino for path in (tmp_path / "cache").rglob("*.so")})
    assert started[0] == started[1] != set()


def test_the_single_file_says_no_to_another_machine(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "wheels").mkdir(parents=True)
    (other / "bundle.json").write_text('{"version": "1", "machine": "riscv64"}')
    os.link(bundle / "LICENSE", other / "LICENSE")
    build.pack_single(other, tmp_path / "other.pyz")
    done = run(sys.executable, "-I", tmp_path / "other.pyz", "--help")
    assert done.returncode == 1
    assert "riscv64" in done.stderr


def test_the_first_script_can_be_read_by_any_shell(bundle: Path) -> None:
    for script in (bundle / "install", *(bundle / "bin").iterdir()):
        subprocess.run(["sh", "-n", script], check=True)
        assert os.access(script, os.X_OK)
