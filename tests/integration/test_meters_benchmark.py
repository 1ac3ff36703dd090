"""`benchmarks.meters` on a small scale: two processes and a bus, every meter read, none failed."""

import json

import pytest
import structlog

from benchmarks import meters
from homevigil.embedded import bus

pytestmark = pytest.mark.radio


def test_a_small_ward_is_read_without_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not bus.is_available():
        pytest.skip("dbus-daemon is not installed; to run this: sudo apt-get install dbus-daemon")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "")  # put back when the test ends
    monkeypatch.setattr(meters, "SINGLE_S", 10.0)
    before = structlog.get_config()
    try:
        assert meters.main(["--meters", "4", "--single", "1"]) == 0
    finally:
        structlog.configure(**before)
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["meters"], said["failed"], said["bonds_removed"], len(said["single_ms"])) == (4, 0, 0, 1)
