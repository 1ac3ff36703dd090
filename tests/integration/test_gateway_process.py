"""The gateway as a process among processes: meters on the bridge, a real mosquitto, and `kill -9` in the middle."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ending
import pytest
from unit.gateway.far_end import FarEnd, far_end

from homevigil.embedded.broker import EmbeddedBroker
from vitals.reading import TimeQuality

pytestmark = pytest.mark.radio

CUFF = {"name": "bp-01", "kind": "blood_pressure", "index": 1, "zone": "Asia/Shanghai"}
GLUCOMETER = {"name": "glu-01", "kind": "glucose", "index": 1, "zone": "Asia/Shanghai"}


class Meters:
    """The simulated meters' process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.sent: list[bytes] = []
        assert self._next()["event"] == "ready"

    def do(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def inflate(self, systolic: int, at: str) -> None:
        self.do(
            do="measure", meter="bp-01", systolic_mmhg=systolic, diastolic_mmhg=94, pulse_bpm=72, user_slot=1, at=at
        )

    def until_sent(self, count: int, characteristic: str = "2a35") -> list[bytes]:
        """The different frames that have gone out, oldest first."""
        while len(self.sent) < count:
            line = self._next()
            if line["event"] == "indicated" and line["characteristic"] == characteristic:
                raw = bytes.fromhex(line["raw"])
                if raw not in self.sent:
                    self.sent.append(raw)
        return self.sent

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the meters' process has ended"
        return dict(json.loads(line))


@contextmanager
def meters(folder: Path, *which: dict[str, Any]) -> Iterator[Meters]:
    file = folder / "meters.json"
    file.write_text(json.dumps({"meters": which}))
    with _process("firmware_sims", "run", "--meters", str(file), stdin=subprocess.PIPE) as process:
        yield Meters(process)


@contextmanager
def gateway(folder: Path, broker: EmbeddedBroker) -> Iterator["subprocess.Popen[str]"]:
    settings = {
        "ID": "gw-1",
        "ZONE": "Asia/Shanghai",
        "OUTBOX": str(folder / "outbox.sqlite"),
        "MQTT_HOST": broker.host,
        "MQTT_PORT": str(broker.port),
    }
    environment = {f"HOMEVIGIL_GATEWAY_{name}": value for name, value in settings.items()}
    with _process("gateway", "run", **environment) as process:
        yield process


@contextmanager
def _process(*arguments: str, stdin: int = subprocess.DEVNULL, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=os.environ | environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _raws(far: FarEnd) -> list[bytes]:
    return [reading.raw for reading in far.stored.values()]


def test_the_bytes_that_the_cuff_sent_arrive_at_the_far_end(
    bus_address: str, mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far, meters(tmp_path, CUFF) as sims, gateway(tmp_path, mosquitto):
        sims.do(do="measure", meter="bp-01", systolic_mmhg=152, diastolic_mmhg=94, pulse_bpm=72, user_slot=1)
        sent = sims.until_sent(1)
        (reading,) = far.until_stored(1)
    assert reading.raw == sent[0]
    assert reading.time_quality in (TimeQuality.CORRECTED, TimeQuality.SYNCED)
    assert abs((reading.received_at - reading.measured_at).total_seconds()) < 10


def test_a_killed_and_restarted_gateway_loses_nothing_and_doubles_nothing(
    bus_address: str, mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    """Killed in the middle of a glucometer's report, whose link BlueZ keeps up; killed again while it sends; then left alone.

    The cuff measures while nobody listens: what a stack has confirmed to a cuff in the moment of the kill, nobody can save
    (docs/explanation/what-can-still-be-lost).
    """
    cuff = CUFF | {"faults": {"hangs_up": True}}
    with far_end(mosquitto.host, mosquitto.port, answers=False) as far, meters(tmp_path, cuff, GLUCOMETER) as sims:
        with gateway(tmp_path, mosquitto) as first:
            sims.inflate(150, at="2026-11-21T07:00:00")
            far.until_stored(1)
            for nth in range(20):
                sims.do(do="measure", meter="glu-01", glucose_mg_dl=110 + nth, meal="fasting")
            far.until_stored(3)
            first.send_signal(signal.SIGKILL)
        with gateway(tmp_path, mosquitto) as second:
            far.next_envelope()
            second.send_signal(signal.SIGKILL)
        sims.inflate(160, at="2026-11-21T07:10:00")
        far.answers = True
        with gateway(tmp_path, mosquitto):
            readings = far.until_stored(22, within_s=60)
            sent = sims.until_sent(2)
    assert len(far.seqs) == 1, "one outbox, one epoch"
    (seqs,) = far.seqs.values()
    assert seqs == set(range(1, 23))
    assert sorted(raw for raw in _raws(far) if raw in sent) == sorted(sent)
    assert len({reading.raw for reading in readings}) == 22


def test_sigterm_ends_the_gateway_within_five_seconds_and_says_goodbye(
    bus_address: str, mosquitto: EmbeddedBroker, tmp_path: Path
) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far, meters(tmp_path, CUFF) as sims:
        with gateway(tmp_path, mosquitto) as process:
            sims.do(do="measure", meter="bp-01", systolic_mmhg=152, diastolic_mmhg=94, pulse_bpm=72)
            far.until_stored(1)  # the session still waits for more: the link is up
            code, took_s = ending.end(process, signal.SIGTERM)
            assert code == 0
            assert took_s < 5
        assert far.until_status(state="offline") == {"state": "offline"}
