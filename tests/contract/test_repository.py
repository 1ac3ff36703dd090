"""What every file of the repository keeps to."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGE_HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|npmmirror|index-url\s*=|extra-index", re.IGNORECASE
)
HERE_ONLY = re.compile(r"(?<![\w.<>$~-])/(?:work|root|home/(?!\$)\w+)/\w")

ALLOWED = {"tests/contract/test_repository.py"}


@pytest.fixture(scope="module")
def tracked() -> dict[str, str]:
    """Every tracked text file."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this is not a git checkout; clone the repository to run this test")
    found = {}
    for name in done.stdout.decode().split("\0"):
        path = ROOT / name
        if name and name not in ALLOWED and path.is_file():
            try:
                found[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return found


def test_no_file_names_a_package_host(tracked: dict[str, str]) -> None:
    assert [name for name, text in tracked.items() if PACKAGE_HOSTS.search(text)] == []


def test_no_file_names_a_place_on_somebodys_machine(tracked: dict[str, str]) -> None:
    assert {name: found[0] for name, text in tracked.items() if (found := HERE_ONLY.search(text))} == {}


def test_no_file_is_left_with_a_conflict_or_a_promise(tracked: dict[str, str]) -> None:
    left = re.compile(r"^(<{7} |>{7} )|\b(TODO|FIXME|XXX)\b", re.MULTILINE)
    vendored = re.compile(r"/static/|LICENSE|\.svg$|package-lock")
    found = {name for name, text in tracked.items() if left.search(text) and not vendored.search(name)}
    assert found - {"CONTRIBUTING.md"} == set()


def test_the_licence_is_apache_2_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_module_says_why_it_exists(tracked: dict[str, str]) -> None:
    rooms = ("vitals/", "gateway/", "server/", "firmware_sims/", "homevigil/", "run.py", "benchmarks/")
    modules = {name: text for name, text in tracked.items() if name.endswith(".py") and name.startswith(rooms)}
    silent = [
        name for name, text in modules.items() if text.strip() and not re.match(r'(#!.*\n)?(#.*\n)*r?"""\S', text)
    ]
    assert silent == []


def test_no_module_is_longer_than_a_reader_can_hold(tracked: dict[str, str]) -> None:
    """Past 400 lines a module is probably two; tables and tests apart."""
    rooms = ("vitals/", "gateway/", "server/", "firmware_sims/", "homevigil/")
    lengths = {
        name: len(text.splitlines())
        for name, text in tracked.items()
        if name.endswith(".py") and name.startswith(rooms)
    }
    assert {name: length for name, length in lengths.items() if length > 420} == {}
