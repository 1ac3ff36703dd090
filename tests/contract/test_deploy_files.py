"""The files that a clinic installs: structure and pins. compose.yaml is checked, not run: that needs a container engine."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*/*.service"))
MAX_EXPOSURE = 1.5
"""systemd's own measure of a unit's exposure, 0 best, 10 worst; an unhardened service is at 9.6."""
MAX_EXPOSURE_OF_ROOT = {"homevigil-adapter-reset": 2.0}
"""It runs for seconds, as root, because only root may do what it is for; everything else is taken from it."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert isinstance(found, dict)
    return found


def test_compose_has_the_database_the_broker_the_migration_and_the_server(compose: dict[str, Any]) -> None:
    figures = {name for name, service in compose["services"].items() if service.get("profiles") == ["figures"]}

    assert figures == {"prometheus", "grafana"}
    assert set(compose["services"]) - figures == {"database", "broker", "migrate", "server", "enrol"}


def test_every_image_is_pinned_to_a_version(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values()]
    dockerfile = (DEPLOY / "server" / "Dockerfile").read_text()
    images += re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    unpinned = [image for image in images if not re.search(r":v?\d+\.\d+\.\d+", image)]
    assert unpinned == []


def test_the_database_is_timescaledb_on_a_postgresql_that_it_still_supports(compose: dict[str, Any]) -> None:
    assert re.fullmatch(r"timescale/timescaledb:2\.29\.\d+-pg(17|18)", compose["services"]["database"]["image"])


def test_volumes_and_networks_that_services_name_are_declared(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert set(service.get("networks", [])) <= set(compose["networks"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in compose["volumes"], (name, volume)


def test_files_that_compose_mounts_from_the_repository_exist(compose: dict[str, Any]) -> None:
    sources = [
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])
    ]
    ours = [source for source in sources if source.startswith("./") and not source.startswith("./secrets")]
    assert ours
    assert [source for source in ours if not (DEPLOY / source).exists()] == []


def test_no_password_stands_in_the_compose_file(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key:
                assert value.startswith("${"), (name, key)


def test_people_reach_the_server_through_a_proxy_only(compose: dict[str, Any]) -> None:
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["server"]["ports"])
    assert "ports" not in compose["services"]["database"]


def test_the_image_copies_only_what_exists() -> None:
    root = DEPLOY.parent
    for line in (DEPLOY / "server" / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = line.split()[1:]
            assert [source for source in sources if not (root / source).exists()] == [], line


@pytest.mark.parametrize("lock", ["server", "gateway", "demo", "test", "bench", "reference", "uv"])
def test_every_locked_package_has_an_exact_version_and_a_hash(lock: str) -> None:
    text = (DEPLOY / "requirements" / f"{lock}.txt").read_text().replace("\\\n", " ")
    packages = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert packages
    assert [line for line in packages if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def test_a_gateways_lock_is_free_of_the_servers_weight() -> None:
    text = (DEPLOY / "requirements" / "gateway.txt").read_text()
    assert re.findall(r"^(numpy|numba|llvmlite|psycopg\S*|fastapi)==", text, re.MULTILINE) == []


def test_all_locks_agree_on_versions() -> None:
    """A package may be locked twice, for two Pythons; whatever a smaller lock holds is in the test lock too."""

    def pins(lock: str) -> set[str]:
        text = (DEPLOY / "requirements" / f"{lock}.txt").read_text()
        return set(re.findall(r"^(\S+==\S+)", text, re.MULTILINE))

    assert {lock: pins(lock) - pins("test") for lock in ("server", "gateway", "demo")} == {
        "server": set(),
        "gateway": set(),
        "demo": set(),
    }
    in_both = {pin.split("==")[0] for pin in pins("bench")} & {pin.split("==")[0] for pin in pins("demo")}
    assert {pin for pin in pins("bench") - pins("demo") if pin.split("==")[0] in in_both} == set()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_what_systemd_understands(unit: Path) -> None:
    done = subprocess.run([_systemd_analyze(), "verify", unit], capture_output=True, text=True, check=False)
    installed_later = re.compile(r"Command /opt/homevigil/\S+ is not executable")
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert [line for line in ours if not installed_later.search(line)] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_hardened(unit: Path) -> None:
    command = [_systemd_analyze(), "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert exposure, said
    assert float(exposure[1]) <= MAX_EXPOSURE_OF_ROOT.get(unit.stem, MAX_EXPOSURE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_start_commands_that_exist(unit: Path) -> None:
    script = re.search(r"^ExecStart=/opt/homevigil/proven/bin/(\S+)$", unit.read_text(), re.MULTILINE)
    if script is not None:
        assert (DEPLOY / "gateway/bin" / script[1]).stat().st_mode & 0o100
        return
    started = re.findall(r"^ExecStart(?:Pre)?=\S+ (?:-I )?-m ([\w.]+) (\S+)", unit.read_text(), re.MULTILINE)
    assert started or "ExecStart=/usr/bin/systemctl kill" in unit.read_text()
    for room, word in started:
        assert room in {"server", "gateway", "gateway.adapter_reset"}
        assert importlib.util.find_spec(room) is not None
        assert word in {"run", "migrate", "ca"} or room == "gateway.adapter_reset"


def _systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is missing; it comes with systemd: sudo apt-get install systemd")
    return found
