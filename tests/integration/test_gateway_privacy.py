"""What leaves the box beside the readings tells nothing of the patient: log, status and diagnosis, after all that can happen.

The values, bytes, names and secrets of these tests occur nowhere else, so that a search finds them if they are there.
"""

import asyncio
import io
import json
import logging
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import structlog
from unit.gateway.far_end import FarEnd, far_end
from unit.gateway.samples import GATEWAY, NOW, TestClock
from unit.gateway.test_status import ABOUT

from firmware_sims.air import Air
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.glucometer import Glucometer
from firmware_sims.settings import Meter
from gateway import diagnostics, log
from gateway.app import run_gateway
from gateway.config import Secret, Settings
from gateway.outbox import Outbox
from gateway.outbox_rows import MeterMemory
from gateway.totals import MeterTotals
from homevigil.embedded.broker import EmbeddedBroker
from vitals.envelope import MAX_BYTES_SENT
from vitals.topics import Channel

NAME = "Cuff of Wang Xiuying"
PASSWORD, CODE = "correct-horse-battery", "493817"
VALUES = ("287", "191", "233", "571", "31.7")
BROKEN = bytes.fromhex("1eb4c3d2e1f00a")


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that the gateway writes, at debug."""
    root, own = logging.getLogger(), logging.getLogger("gateway")
    before, levels, stream = list(root.handlers), (root.level, own.level), io.StringIO()
    log.configure(logging.DEBUG, stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def _air() -> Air:
    meters = [
        {"name": NAME, "kind": "blood_pressure", "index": 1},
        {"name": "glu", "kind": "glucose", "index": 1},
        {"name": "gone", "kind": "blood_pressure", "index": 2, "faults": {"disconnect_after_ms": 0}},
    ]
    return Air([msgspec.convert(each, Meter) for each in meters], now=lambda: NOW, interval_s=0.02)


def _measure(air: Air) -> list[bytes]:
    """Readings of each meter, and a frame that is none; their bytes."""
    cuff, glucometer, gone = air.meters[NAME], air.meters["glu"], air.meters["gone"]
    raws = []
    for each in (cuff, gone):
        assert isinstance(each.firmware, BloodPressureMeter)
        raws.append(each.firmware.measure(wall=each.wall, systolic_mmhg=287, diastolic_mmhg=191, pulse_bpm=233))
    cuff.firmware.keep(BROKEN)
    assert isinstance(glucometer.firmware, Glucometer)
    glucometer.firmware.measure(wall=glucometer.wall, glucose_mg_dl=571, meal="fasting")
    for each in air.meters.values():
        each.wake()
    return [*raws, BROKEN]


async def _live(
    far: FarEnd, broker: EmbeddedBroker, path: Path, logged: io.StringIO
) -> tuple[list[bytes], list[dict[str, object]], bytes]:
    """Sessions that succeed and fail, readings sent and confirmed, a configuration with a code, a diagnosis that is asked for:
    the bytes that were measured, every status, the diagnosis."""
    settings = Settings(
        id=GATEWAY,
        zone="Asia/Shanghai",
        outbox=path,
        mqtt_host=broker.host,
        mqtt_port=broker.port,
        mqtt_username="box",
        mqtt_password=Secret(PASSWORD),
    )
    air = _air()
    config = {"revision": 1, "log_level": "debug", "pairing_codes": {"F0:00:00:10:00:01": CODE}}
    far.send(GATEWAY, Channel.CONFIG, json.dumps(config).encode(), retain=True)
    task = asyncio.create_task(run_gateway(settings, radio=air, clock=TestClock().clock))
    statuses = [await asyncio.to_thread(far.until_status, state="online")]
    while statuses[-1].get("config", {}).get("in_force") != 1:  # type: ignore[attr-defined]  # before it is, nothing is logged in detail
        statuses.append(await asyncio.to_thread(far.until_status, state="online"))
    raws = _measure(air)
    readings = await asyncio.to_thread(far.until_stored, 2)
    raws += [reading.raw for reading in readings]
    async with asyncio.timeout(20):
        while "session_failed" not in logged.getvalue() or "frame_set_aside" not in logged.getvalue():  # noqa: ASYNC110  # a log gives no events
            await asyncio.sleep(0.02)
    far.send(GATEWAY, Channel.CONFIG, b'{"revision": 2, "pairing_codes": {"F0:00:00:10:00:01": "4938170"}}')
    while not any(status.get("config", {}).get("state") == "refused" for status in statuses):  # type: ignore[attr-defined]
        statuses.append(await asyncio.to_thread(far.until_status, state="online"))
    far.send(GATEWAY, Channel.CONFIG, json.dumps(config | {"revision": 3, "diagnostics": "r3"}).encode())
    diagnosis = await asyncio.to_thread(far.diagnoses.get, True, 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return raws, statuses, diagnosis


def _traces(text: str, raws: list[bytes]) -> list[str]:
    """What of the patient or of a secret is in `text`."""
    found = [value for value in VALUES if re.search(rf"(?<![\d.:]){re.escape(value)}(?![\d])", text)]
    found += [word for word in (NAME, "Xiuying", PASSWORD, CODE) if word in text]
    for raw in raws:
        forms = (raw.hex(), raw.hex(" "), b64encode(raw).decode(), repr(raw)[2:-1], str(list(raw)))
        found += [form for form in forms if form.lower() in text.lower()]
    return found


async def test_log_status_and_diagnosis_tell_nothing_of_the_patient(
    mosquitto: EmbeddedBroker, tmp_path: Path, logged: io.StringIO
) -> None:
    with far_end(mosquitto.host, mosquitto.port) as far:
        raws, statuses, diagnosis = await _live(far, mosquitto, tmp_path / "outbox.sqlite", logged)
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    events = {line["event"] for line in lines}
    assert {"reading_kept", "frame_set_aside", "session_ended", "readings_sent", "receipt_applied"} <= events
    assert {"session_failed", "config_applied", "config_refused", "diagnosis_sent"} <= events
    assert _traces(logged.getvalue(), raws) == []
    for status in statuses:
        status["machine"] = status["starts"] = "numbers of this machine, which may be any"
    assert _traces(json.dumps(statuses), raws) == []
    said = json.loads(diagnosis)
    said["status"]["machine"] = said["status"]["starts"] = "numbers of this machine, which may be any"
    assert _traces(json.dumps(said), raws) == []
    assert len(diagnosis) <= MAX_BYTES_SENT
    assert said["request"] == "r3"
    assert said["settings"]["mqtt_password"] == said["settings"]["mqtt_username"] == "set"
    assert said["status"]["outbox"]["quarantined"] == 1
    assert said["meters"]["F0:00:00:10:00:02"]["failed"] >= 1
    assert said["log"][-1]["event"]


def test_the_search_would_find_what_it_looks_for() -> None:
    raw = bytes.fromhex("1e1f01bf00")
    for text in ("why: 287/191", f'"{NAME}"', PASSWORD, CODE, raw.hex().upper(), b64encode(raw).decode(), repr(raw)):
        assert _traces(text, [raw]), text


def _bundle(path: Path, lines: list[str]) -> dict[str, object]:
    return diagnostics.bundle(
        now=NOW,
        settings=Settings(id=GATEWAY, zone="UTC", outbox=path, mqtt_password=Secret(PASSWORD)),
        status={"radio": {"wrong": f"no key {CODE}"}},
        remembered=[(MeterMemory(meter_id="F0:00:00:10:00:01", about=ABOUT), NOW)],
        counted={"F0:00:00:10:00:01": MeterTotals(why="bad frame 1e1f01bf00 at byte 3")},
        lines=lines,
        secrets=[CODE],
        request="r1",
    )


def test_free_text_loses_secrets_bytes_and_codes_and_a_meter_its_serial_number(tmp_path: Path) -> None:
    lines = [
        json.dumps({"event": "session_failed", "why": r"b'\x1e\x1f\x01' or 1E 1F 01 BF 00", "code": 15}),
        f"somebody else's line with {PASSWORD} and 0x1e1f01bf00 and 123456",
        json.dumps(["no", "object"]),
    ]
    text = json.dumps(_bundle(tmp_path, lines))
    for secret in ("1e1f", "1E 1F", r"\\x1e", PASSWORD, CODE, "123456", ABOUT["serial"]):
        assert secret not in text, secret
    assert ABOUT["model"] in text
    assert "session_failed" in text


def test_a_code_of_four_digits_leaves_free_text_and_spoils_no_year(tmp_path: Path) -> None:
    year = f"{NOW.year}"
    lines = [json.dumps({"event": "odd", "why": f"it wrote {year}, then 1{year}", "timestamp": NOW.isoformat()})]
    said = diagnostics.bundle(
        now=NOW,
        settings=Settings(id=GATEWAY, zone="UTC", outbox=tmp_path),
        status={},
        remembered=[],
        counted={},
        lines=lines,
        secrets=[year],
    )
    assert said["log"][0]["why"] == f"it wrote [secret], then 1{year}"
    assert said["at"].startswith(year)
    assert said["log"][0]["timestamp"].startswith(year)


def test_whatever_the_log_holds_a_diagnosis_is_one_message_and_keeps_the_newest_lines(tmp_path: Path) -> None:
    lines = [json.dumps({"event": f"event-{nth}", "advice": "check the cable " * 12}) for nth in range(200)]
    payload = diagnostics.fitted(_bundle(tmp_path, lines), 16_384)
    assert len(payload) <= 16_384
    kept = json.loads(payload)["log"]
    assert kept[-1]["event"] == "event-199"
    assert len(kept) > 20


def test_a_bystander_gets_a_diagnosis_of_a_box_that_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, now=NOW) as outbox:
        outbox.set_setting("config", json.dumps({"revision": 4, "pairing_codes": {"F0:00:00:10:00:01": CODE}}))
        outbox.remember(MeterMemory(meter_id="F0:00:00:10:00:01", about=ABOUT), now=NOW)
    settings = {"ID": GATEWAY, "ZONE": "UTC", "OUTBOX": str(path), "MQTT_PASSWORD": PASSWORD}
    environment = os.environ | {f"HOMEVIGIL_GATEWAY_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "gateway", "diagnose", "--out", str(tmp_path / "told.json")]
    subprocess.run(command, env=environment, check=True, timeout=60, capture_output=True)
    text = (tmp_path / "told.json").read_text()
    said = json.loads(text)
    assert said["status"]["config"] == {"in_force": 4}
    assert said["status"]["outbox"]["kept"] == 0
    assert said["meters"]["F0:00:00:10:00:01"]["about"]["model"] == ABOUT["model"]
    assert _traces(text, []) == []
