"""A release on a machine with a real systemd: the sandbox of its unit is around a gateway that reads a meter and sends it.

The bus is that machine's own, with BlueZ's own rules about who may speak to bluetoothd; on it is the bridge with a simulated
cuff, because this kernel has no Bluetooth. What the hardening forbids too much is seen here, before it is in a home.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_release import another
from households import enrol
from integration.test_gateway_enrolment import clinic_of
from integration.test_gateway_process import CUFF, meters
from unit.gateway.far_end import far_end

from deploy.release import build
from homevigil.embedded.broker import EmbeddedBroker
from server.clock import now
from server.store.postgres import Pool

from .small_machine import SmallMachine, debian
from .userland import CannotBuildError

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

UNIT = "homevigil-gateway.service"
DIES = ('systemd.notify("READY=1")', 'raise SystemExit("a mistake")')
AT_ONCE = ("LOOKS: Final = 30", "LOOKS: Final = 1")
"""It says that it is well at the first look, not after five minutes of them."""


@pytest.fixture(params=["bookworm", "trixie"])
def machine(request: pytest.FixtureRequest, bundle: Path) -> Iterator[SmallMachine]:
    """Booted, with the release in /mnt/release."""
    try:
        with SmallMachine(root=debian(request.param)) as machine:
            shutil.copytree(bundle, machine.inside / "mnt/release")
            yield machine
    except CannotBuildError as e:
        if os.environ.get("CI"):
            pytest.fail(str(e))
        pytest.skip(str(e))


@pytest.fixture
def configured(machine: SmallMachine, mosquitto: EmbeddedBroker) -> SmallMachine:
    """The settings for this test's broker are there; nothing is installed."""
    settings = machine.inside / "etc/homevigil/gateway.env"
    settings.parent.mkdir()
    lines = ("ID=gw-1", 'ZONE="Asia/Shanghai"', f"MQTT_HOST={mosquitto.host}", f"MQTT_PORT={mosquitto.port}")
    settings.write_text("".join(f"HOMEVIGIL_GATEWAY_{line}\n" for line in lines))
    return machine


def install(machine: SmallMachine, folder: str = "/mnt/release") -> str:
    done = machine.run(f"{folder}/install")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_before_enrolment_nothing_is_started_over_and_over(machine: SmallMachine) -> None:
    assert "enrol" in install(machine)
    assert machine.run("systemctl", "is-enabled", UNIT).stdout.strip() == "enabled"
    machine.run("systemctl", "start", UNIT)
    assert (machine.show(UNIT, "ActiveState"), machine.show(UNIT, "NRestarts")) == ("failed", "0")


def test_enrolled_by_its_code_it_starts_with_all_its_units(
    machine: SmallMachine, pool: Pool, database_url: str, tmp_path: Path
) -> None:
    with pool.connection() as conn:
        house = enrol(conn, enrolled_on=now().date())
    install(machine)
    with clinic_of(pool, database_url, tmp_path, made_at=now()) as clinic:
        done = machine.run("homevigil-gateway", "enrol", clinic.invite(house.gateway_id).text)
    assert done.returncode == 0, done.stdout + done.stderr
    for unit in (UNIT, "homevigil-adapter-reset.path"):
        assert machine.show(unit, "ActiveState") == "active", unit
    identity = machine.inside / "var/lib/homevigil-gateway/identity"
    assert identity.stat().st_uid == (machine.inside / "var/lib/homevigil-gateway").stat().st_uid != 0
    assert f'"gateway_id": "{house.gateway_id}"' in machine.run("journalctl", "-u", UNIT, "-o", "cat").stdout


def test_in_its_sandbox_it_reads_a_meter_and_sends_what_it_read(
    configured: SmallMachine, mosquitto: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", configured.bus_address)
    with far_end(mosquitto.host, mosquitto.port) as far, meters(tmp_path, CUFF) as sims:
        install(configured)
        sims.do(do="measure", meter="bp-01", systolic_mmhg=152, diastolic_mmhg=94, pulse_bpm=72, user_slot=1)
        (reading,) = far.until_stored(1, within_s=60)
        assert reading.raw == sims.until_sent(1)[0]
    assert configured.show(UNIT, "NRestarts") == "0"
    said = configured.run("homevigil-gateway", "status", "--json")
    assert json.loads(said.stdout)["outbox"]["kept"] == 1, said.stderr
    state = configured.inside / "var/lib/homevigil-gateway"
    owners = {path.stat().st_uid for path in (state, *state.iterdir())}
    (line,) = [row for row in (configured.inside / "etc/passwd").read_text().splitlines() if "homevigil-gateway" in row]
    assert owners == {int(line.split(":")[2])}
    log = configured.run("journalctl", "-u", UNIT, "-o", "cat").stdout
    events = [json.loads(row)["event"] for row in log.splitlines() if row.startswith("{")]
    assert "gateway_started" in events
    assert [
        event for event in events if event.endswith("_failed") and event not in ("scan_failed", "uplink_failed")
    ] == []


def test_killed_it_is_there_again(configured: SmallMachine) -> None:
    install(configured)
    first = configured.show(UNIT, "MainPID")
    configured.run("systemctl", "kill", "--signal=KILL", UNIT)
    assert configured.shows(UNIT, "NRestarts", "1")
    assert configured.shows(UNIT, "ActiveState", "active")
    assert configured.show(UNIT, "MainPID") not in ("0", first)


def test_a_version_that_falls_over_is_taken_back_code_and_unit_at_once(
    configured: SmallMachine, bundle: Path, tmp_path: Path
) -> None:
    install(configured)
    bad = another(
        bundle,
        tmp_path / "bad",
        version="0.2.0",
        gateway_app=DIES,
    )
    unit = bad / "units" / UNIT
    text = unit.read_text().replace("Description=", "Description=another ")
    unit.unlink()
    unit.write_text(text)
    build.seal(bad)
    build.pack(bad, configured.inside / "mnt/bad.tar")
    done = configured.run("homevigil-gateway-release", "upgrade", "/mnt/bad.tar")
    assert done.returncode == 1
    assert "runs again" in done.stderr
    assert (configured.show(UNIT, "ActiveState"), configured.show(UNIT, "SubState")) == ("active", "running")
    assert "another" not in configured.show(UNIT, "Description")
    good = another(bundle, tmp_path / "good", version="0.3.0")
    build.pack(good, configured.inside / "mnt/good.tar")
    done = configured.run("homevigil-gateway-release", "upgrade", "/mnt/good.tar")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0.3.0" in configured.run("homevigil-gateway-release", "list").stdout
    assert configured.run("homevigil-gateway-release", "uninstall").returncode == 0
    assert configured.show(UNIT, "LoadState") == "not-found"
    assert (configured.inside / "var/lib/homevigil-gateway/outbox.sqlite3").exists()


def test_a_gateway_that_hangs_is_started_anew(configured: SmallMachine) -> None:
    """systemd hears nothing for WatchdogSec, here three seconds instead of sixty."""
    drop_in = configured.inside / f"etc/systemd/system/{UNIT}.d/quick.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n")
    install(configured)
    configured.run("systemctl", "kill", "--signal=STOP", UNIT)
    assert configured.shows(UNIT, "NRestarts", "1")
    assert configured.shows(UNIT, "ActiveState", "active")


@pytest.mark.parametrize("harm", ["it falls over", "its unit is none"])
def test_whoever_upgrades_is_cut_off_and_the_machine_finds_back_or_forth_by_itself(
    configured: SmallMachine,
    mosquitto: EmbeddedBroker,
    bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: str,
) -> None:
    """As when the power fails before the new release was found well; what watches is started by systemd, in its sandbox."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", configured.bus_address)
    first = another(bundle, tmp_path / "first", version="0.1.9", gateway_proof=AT_ONCE)
    shutil.copytree(first, configured.inside / "mnt/first")
    bad = another(bundle, tmp_path / "bad", version="0.2.0", gateway_app=DIES)
    if harm == "its unit is none":
        unit = bad / "units" / UNIT
        text = unit.read_text().replace("Type=notify", "Type=notify\nExecStart=/also/this")
        unit.unlink()
        unit.write_text(text)
    build.seal(bad)
    good = another(bundle, tmp_path / "good", version="0.3.0", gateway_proof=AT_ONCE)
    for release in (bad, good):
        build.pack(release, configured.inside / f"mnt/{release.name}.tar")
    with far_end(mosquitto.host, mosquitto.port), meters(tmp_path, CUFF):
        install(configured, "/mnt/first")
        upgrade_is_cut_off(configured, "/mnt/bad.tar")
        assert comes_to_run(configured, "0.1.9"), what_watches(configured)
        assert "does not run well: going back to 0.1.9" in what_watches(configured)
        assert configured.show(UNIT, "ActiveState") == "active"
        assert configured.run("homevigil-gateway-release", "rollback").returncode == 1, (
            "nobody goes back to the bad one"
        )
        upgrade_is_cut_off(configured, "/mnt/good.tar")
        assert comes_to_run(configured, "0.3.0"), what_watches(configured)
        assert configured.show(UNIT, "ActiveState") == "active"
    proven = configured.inside / "opt/homevigil/proven"
    assert proven.readlink().name.startswith("0.3.0-")


def upgrade_is_cut_off(machine: SmallMachine, tar: str) -> None:
    """Whoever gave the command is killed as soon as `current` leads to the new release."""
    before = (machine.inside / "opt/homevigil/current").readlink()
    script = (
        f"setsid homevigil-gateway-release upgrade {tar} > /tmp/upgrade.log 2>&1 & "
        f'while [ "$(readlink /opt/homevigil/current)" = {before} ]; do :; done; kill -s KILL -- -$!'
    )
    machine.run("sh", "-c", script)
    assert (machine.inside / "opt/homevigil/current").readlink() != before
    assert (machine.inside / "opt/homevigil/trial").exists()


def comes_to_run(machine: SmallMachine, version: str, *, within_s: float = 90.0) -> bool:
    """Whether a release comes to be the one that runs, with nothing on trial any more."""
    place, until = machine.inside / "opt/homevigil", time.monotonic() + within_s
    while not (place / "current").readlink().name.startswith(f"{version}-") or (place / "trial").exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def what_watches(machine: SmallMachine) -> str:
    """Its log."""
    return machine.run("journalctl", "-u", "homevigil-trial.service", "-u", "homevigil-trial.path", "-o", "cat").stdout
