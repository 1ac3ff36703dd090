"""What a gateway takes of a small computer: how soon it is ready, its memory, its share of a core, and whether it grows.

The real process (`python -m gateway run`) over the `org.bluez` bridge, with a real broker on which somebody answers as a clinic
does. Months of a home's sessions are held back to back: twelve meters, each measured again as soon as it was read. After each
round memory, open files and the match rules at the bus are looked at; a slope that is more than noise is a leak, and so is any
file or rule more.

    python -m benchmarks.gateway_footprint [--days 120] [--idle-s 60]
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table

from homevigil.embedded.broker import EmbeddedBroker
from homevigil.embedded.bus import EmbeddedBus
from homevigil.embedded.postgres import temporary_folder
from server.clock import now
from vitals.envelope import Receipt, decode_envelope, encode_receipt
from vitals.topics import Channel, Topic

SESSIONS_A_DAY: Final = 12
"""Two people, each with a cuff and a glucometer, three times a day."""
METERS: Final = 12
RSS_MB_MAX: Final = 60.0
IDLE_SHARE_MAX: Final = 0.01
START_S_MAX: Final = 3.0
GROWTH_KB_MAX: Final = 0.25
"""A session, over the last third, when caches and arenas are full. What a link leaves behind if nobody collects it is 20."""
LEAVING_S: Final = 10.0
"""After which no link of the last round is up any more."""
WITHIN_S: Final = 120.0
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The process after so many sessions."""

    sessions: int
    rss_kb: int
    open_files: int
    match_rules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """All that was measured."""

    start_s: float
    start_cpu_s: float
    idle_share: float
    idle_rss_mb: float
    sessions: int
    session_cpu_s: float
    rss_mb_max: float
    growth_kb_a_session: float
    open_files: tuple[int, int]
    match_rules: tuple[int, int]

    @property
    def is_well(self) -> bool:
        is_small = self.rss_mb_max <= RSS_MB_MAX and self.idle_share <= IDLE_SHARE_MAX and self.start_s <= START_S_MAX
        grows = self.growth_kb_a_session > GROWTH_KB_MAX
        return is_small and not grows and self.open_files[1] <= self.open_files[0] and self.rules_stay

    @property
    def rules_stay(self) -> bool:
        return self.match_rules[1] <= self.match_rules[0]


class Clinic:
    """Answers each envelope with a receipt and each question with the time, and counts what has come."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._seqs: set[int] = set()
        self._more = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, "clinic", protocol=MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("homevigil/1/+/+", qos=1)
        self._client.on_message = self._take
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def until(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self._seqs) >= count, WITHIN_S), (len(self._seqs), count)

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _: object, __: object, message: MQTTMessage) -> None:
        topic = Topic.parse(message.topic)
        if topic.channel is Channel.STATUS:
            asks = json.loads(message.payload).get("asks")
            if asks is not None:
                self._answer(topic, Receipt(epoch=asks["epoch"], upto=0, asked=asks["question"], at=now()))
        elif topic.channel is Channel.READINGS:
            envelope = decode_envelope(bytes(message.payload))
            with self._more:
                self._seqs |= {row.seq for row in envelope.readings}
                upto = next(seq for seq in range(len(self._seqs) + 1) if seq + 1 not in self._seqs)
                self._more.notify()
            extra = tuple(sorted(row.seq for row in envelope.readings if row.seq > upto))
            self._answer(topic, Receipt(epoch=envelope.epoch, upto=upto, extra=extra))

    def _answer(self, topic: Topic, receipt: Receipt) -> None:
        answer = Topic(gateway_id=topic.gateway_id, channel=Channel.RECEIPTS)
        self._client.publish(str(answer), encode_receipt(receipt), qos=1)


class Gateway:
    """The process, looked at from outside."""

    def __init__(self, folder: Path, bus: EmbeddedBus, broker: EmbeddedBroker) -> None:
        settings = {"ID": "gw-1", "ZONE": "UTC", "OUTBOX": str(folder / "outbox.sqlite"), "MQTT_PORT": str(broker.port)}
        environment = os.environ | {f"HOMEVIGIL_GATEWAY_{name}": value for name, value in settings.items()}
        environment |= {"DBUS_SYSTEM_BUS_ADDRESS": bus.address, "NOTIFY_SOCKET": str(folder / "notify")}
        self._bus = bus
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(folder / "notify"))
            notify.settimeout(WITHIN_S)
            began_s = time.perf_counter()
            with (folder / "log").open("w") as log:
                self.process = subprocess.Popen([sys.executable, "-m", "gateway", "run"], env=environment, stderr=log)
            while notify.recv(256) != b"READY=1":
                pass
            self.start_s = time.perf_counter() - began_s
            self.start_cpu_s = self.cpu_s

    @property
    def cpu_s(self) -> float:
        fields = self._proc("stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND

    def sample(self, sessions: int) -> Sample:
        [line] = [each for each in self._proc("status").read_text().splitlines() if each.startswith("VmRSS")]
        rules = asyncio.run(_match_rules(self._bus.address, self.process.pid))
        return Sample(
            sessions=sessions,
            rss_kb=int(line.split()[1]),
            open_files=sum(1 for _ in self._proc("fd").iterdir()),
            match_rules=rules,
        )

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self.process.pid}/{name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and the JSON line; 1 where the gateway is too big, too slow, or grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=120, help=f"of {SESSIONS_A_DAY} sessions each")
    parser.add_argument("--idle-s", type=float, default=60.0)
    wish = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    folder = temporary_folder()
    try:
        with ExitStack() as stack:
            bus = stack.enter_context(EmbeddedBus(folder=folder / "bus"))
            broker = stack.enter_context(EmbeddedBroker(folder=folder / "broker"))
            found, samples = _measure(stack, folder, bus, broker, wish.days, wish.idle_s)
    finally:
        shutil.rmtree(folder)
    return _tell(found, samples, load)


def _measure(
    stack: ExitStack, folder: Path, bus: EmbeddedBus, broker: EmbeddedBroker, days: int, idle_s: float
) -> tuple[Footprint, list[Sample]]:
    sims = stack.enter_context(_meters(folder, bus))
    clinic = Clinic(broker)
    stack.callback(clinic.leave)
    gateway = Gateway(folder, bus, broker)
    stack.callback(gateway.process.wait)
    stack.callback(gateway.process.terminate)
    _round(sims, clinic, 1)  # everything has been imported and met once
    idle_share, idle_kb = _idle(gateway, idle_s)
    before, cpu_s, samples = gateway.sample(METERS), gateway.cpu_s, []
    for nth in range(2, 1 + -(-days * SESSIONS_A_DAY // METERS)):
        _round(sims, clinic, nth)
        samples.append(gateway.sample(nth * METERS))
    sessions = samples[-1].sessions
    used_s = gateway.cpu_s - cpu_s
    time.sleep(LEAVING_S)
    after = gateway.sample(sessions)
    later = samples[2 * len(samples) // 3 :]
    slope = statistics.linear_regression([each.sessions for each in later], [each.rss_kb for each in later]).slope
    found = Footprint(
        start_s=gateway.start_s,
        start_cpu_s=gateway.start_cpu_s,
        idle_share=idle_share,
        idle_rss_mb=idle_kb * 1024 / 1e6,
        sessions=sessions,
        session_cpu_s=used_s / (sessions - METERS),
        rss_mb_max=max(each.rss_kb for each in samples) * 1024 / 1e6,
        growth_kb_a_session=slope,
        open_files=(before.open_files, after.open_files),
        match_rules=(before.match_rules, after.match_rules),
    )
    return found, samples


def _idle(gateway: Gateway, for_s: float) -> tuple[float, int]:
    """Share of a core and memory while nobody measures."""
    before_s, began_s = gateway.cpu_s, time.perf_counter()
    time.sleep(for_s)
    share = (gateway.cpu_s - before_s) / (time.perf_counter() - began_s)
    return share, gateway.sample(0).rss_kb


@contextmanager
def _meters(folder: Path, bus: EmbeddedBus) -> Iterator["subprocess.Popen[str]"]:
    """Cuffs that hang up when they have sent, as many as are measured in a round."""
    meters = [
        {"name": f"bp-{nth}", "kind": "blood_pressure", "index": nth, "faults": {"hangs_up": True}}
        for nth in range(1, METERS + 1)
    ]
    file = folder / "meters.json"
    file.write_text(json.dumps({"meters": meters}))
    command = [sys.executable, "-m", "firmware_sims", "run", "--meters", str(file)]
    environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        threading.Thread(target=process.stdout.read, daemon=True).start()
        try:
            yield process
        finally:
            process.terminate()


def _round(sims: "subprocess.Popen[str]", clinic: Clinic, nth: int) -> None:
    """Every meter measures once, and every reading has come."""
    assert sims.stdin is not None
    for meter in range(1, METERS + 1):
        values = {"systolic_mmhg": 110 + nth % 60, "diastolic_mmhg": 80, "pulse_bpm": 60 + nth % 40}
        at = f"2026-11-{1 + nth // 60 % 28:02d}T{nth % 24:02d}:{nth % 60:02d}:{meter:02d}"
        sims.stdin.write(json.dumps({"do": "measure", "meter": f"bp-{meter}", "at": at, **values}) + "\n")
    sims.stdin.flush()
    clinic.until(nth * METERS)


async def _match_rules(address: str, pid: int) -> int:
    """How many match rules the process `pid` has at the bus, by dbus-daemon's own count."""
    bus = await MessageBus(bus_address=address).connect()
    try:
        total = 0
        for name in await _ask(bus, "org.freedesktop.DBus", "ListNames"):
            if not name.startswith(":") or name == bus.unique_name:
                continue
            if await _ask(bus, "org.freedesktop.DBus", "GetConnectionUnixProcessID", name) == pid:
                stats = await _ask(bus, "org.freedesktop.DBus.Debug.Stats", "GetConnectionStats", name)
                total += stats["MatchRules"].value if stats is not None else 0
        return total
    finally:
        bus.disconnect()


async def _ask(bus: MessageBus, interface: str, member: str, *arguments: str) -> Any:
    """The bus's answer; None about a name that has just gone: each link has a connection of its own."""
    reply = await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface=interface,
            member=member,
            signature="s" * len(arguments),
            body=list(arguments),
        )
    )
    assert reply is not None
    if reply.message_type is MessageType.ERROR and arguments:
        return None
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    return reply.body[0]


def _tell(found: Footprint, samples: Sequence[Sample], load: float) -> int:
    rows = [
        ("ready after", f"{found.start_s:.2f} s ({found.start_cpu_s:.2f} CPU-s)", f"{START_S_MAX:.0f} s"),
        ("idle, share of a core", f"{found.idle_share:.2%}", f"{IDLE_SHARE_MAX:.0%}"),
        ("memory, idle", f"{found.idle_rss_mb:.1f} MB", f"{RSS_MB_MAX:.0f} MB"),
        (f"memory, at most in {found.sessions} sessions", f"{found.rss_mb_max:.1f} MB", f"{RSS_MB_MAX:.0f} MB"),
        ("growth, last third", f"{found.growth_kb_a_session:.3f} KiB a session", f"{GROWTH_KB_MAX:g}"),
        ("a session", f"{found.session_cpu_s * 1000:.0f} ms of a core", ""),
        ("open files, first and last", f"{found.open_files[0]}, {found.open_files[1]}", "no more"),
        ("match rules, first and last", f"{found.match_rules[0]}, {found.match_rules[1]}", "no more"),
    ]
    table = Table(title="The gateway's footprint")
    for heading in ("", "measured", "goal"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)
    line = {
        "benchmark": "gateway_footprint",
        **asdict(found),
        "rss_kb": [each.rss_kb for each in samples],
        "load_at_the_start": load,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "is_well": found.is_well,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if found.is_well else 1


if __name__ == "__main__":
    raise SystemExit(main())
