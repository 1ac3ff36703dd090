"""The release for a Raspberry Pi, built here and run here: installed by the Pi's own Python under an emulator of its processor.

Meters, bus and broker are this machine's; every instruction of the gateway and of its compiled libraries is the Pi's. Not tried:
the Pi's kernel, its adapter, its speed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fix_release import Home
from integration.test_gateway_process import CUFF, meters
from unit.gateway.far_end import far_end

from deploy.release import build
from homevigil.embedded.broker import EmbeddedBroker

from .userland import CannotBuildError, Userland, userland

pytestmark = [pytest.mark.radio, pytest.mark.timeout(300)]

SYSTEMS = {"bookworm": "3.11", "trixie": "3.13"}
"""Raspberry Pi OS is these, with another kernel."""


@pytest.fixture(scope="module", params=[pytest.param("bookworm", marks=pytest.mark.full), "trixie"])
def pi(request: pytest.FixtureRequest) -> Userland:
    try:
        return userland(request.param, SYSTEMS[request.param])
    except CannotBuildError as e:
        if os.environ.get("CI"):
            pytest.fail(str(e))
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def pi_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aarch64") / "homevigil-gateway"
    build.lay_out("aarch64", folder)
    build.seal(folder)
    return folder


@contextmanager
def gateway(pi: Userland, home: Home, broker: EmbeddedBroker) -> Iterator["subprocess.Popen[str]"]:
    settings = {
        "ID": "gw-1",
        "ZONE": "Asia/Shanghai",
        "OUTBOX": str(home.state / "outbox.sqlite3"),
        "MQTT_HOST": broker.host,
        "MQTT_PORT": str(broker.port),
    }
    bare = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment = bare | {f"HOMEVIGIL_GATEWAY_{name}": value for name, value in settings.items()}
    command = [*pi.through, str(home.tree.place / "current/bin/python"), "-m", "gateway", "run"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_a_reading_comes_out_of_the_release_for_a_pi(
    pi: Userland, pi_bundle: Path, home: Home, bus_address: str, mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    (wheel,) = (pi_bundle / "wheels").glob("homevigil-*.whl")
    install = ["-s", "-P", "-m", "gateway.installation", "install", f"--bundle={pi_bundle}", f"--root={home.root}"]
    done = subprocess.run(
        [*pi.python, *install, f"--through={' '.join(pi.through)}"],
        env=os.environ | {"PYTHONPATH": str(wheel), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with far_end(mosquitto.host, mosquitto.port) as far, meters(tmp_path, CUFF) as sims, gateway(pi, home, mosquitto):
        sims.do(do="measure", meter="bp-01", systolic_mmhg=152, diastolic_mmhg=94, pulse_bpm=72, user_slot=1)
        (reading,) = far.until_stored(1, within_s=90)
        sent = sims.until_sent(1)
        asked = [*pi.through, str(home.tree.place / "current/bin/python"), "-I", "-m", "gateway", "status", "--json"]
        environment = {"HOMEVIGIL_GATEWAY_OUTBOX": str(home.state / "outbox.sqlite3")}
        said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert reading.raw == sent[0]
    status = json.loads(said)
    assert (status["running"], status["outbox"]["kept"]) == (True, 1)


def test_the_single_file_runs_on_a_pi(pi: Userland, pi_bundle: Path, tmp_path: Path) -> None:
    single = tmp_path / "gateway.pyz"
    build.pack_single(pi_bundle, single)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [*pi.python, "-I", str(single), "outbox", "--path", str(tmp_path / "no-outbox")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is no outbox" in done.stderr


def test_this_machine_does_not_take_the_release_for_a_pi(pi_bundle: Path, home: Home) -> None:
    if os.uname().machine == "aarch64":
        pytest.skip("this machine is an aarch64: it takes the release; run this test on x86")
    done = home.install(pi_bundle)
    assert done.returncode == 1
    assert "this release is for aarch64" in done.stderr
    assert sys.maxsize > 2**32
