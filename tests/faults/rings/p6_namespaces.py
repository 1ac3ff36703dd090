"""P6: gateway, broker and database stand on hosts of their own, and the kernel between them lets packets vanish.

No connection is ended by these faults: half-open ones must be noticed, by keep-alives and resends, or survive.
"""

import random
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
from households import Household

from faults.line import Deed, Line
from faults.namespaces import HOSTS, Hosts, why_not
from faults.rings.p1_kills import kills
from faults.trial import BadBuild, Ring, Size, Tally, Trial
from faults.world import World
from homevigil.embedded import child
from homevigil.embedded.broker import MOSQUITTO, EmbeddedBroker

READINGS: Final = {Size.SMALL: 150, Size.FULL: 300}
PER_S: Final = 150.0
LONGEST_S: Final = {Size.SMALL: 1.5, Size.FULL: 6.0}
KILLS_TOO: Final = 0.3
DATABASE_PORT: Final = 5432
TUNNEL_BYTES: Final = 600


@dataclass(slots=True, kw_only=True)
class BrokerHost(EmbeddedBroker):
    """mosquitto on the host `broker`; it is found at that host's address."""

    hosts: Hosts
    port: int = 1883
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text(MOSQUITTO.replace("127.0.0.1", "0.0.0.0").format(port=self.port) + "user root\n")
        log = self.folder / "broker.log"
        mosquitto = self._mosquitto
        assert mosquitto is not None, "a ring that runs has mosquitto"
        with log.open("ab") as sink:
            self._process = child.start(
                [*self.hosts.prefix("broker"), mosquitto, "-c", config], log=sink, cwd=self.folder
            )
        child.wait_until(self._listens, process=self._process, within_s=10, what="mosquitto", log=log)

    def _listens(self) -> bool:
        """Asked on the host itself: the way there may be cut just now."""
        asked = ["ss", "-Hltn", "sport", "=", f":{self.port}"]
        return bool(subprocess.run([*self.hosts.prefix("broker"), *asked], capture_output=True, check=True).stdout)


@dataclass(slots=True, kw_only=True)
class SpreadWorld(World):
    """A world whose broker and database are reached over the bridge."""

    hosts: Hosts

    def server_environment(self, **settings: object) -> dict[str, str]:
        url = f"postgresql://postgres@{self.hosts.address('database')}:{DATABASE_PORT}/{self.database}"
        there = {"database_url": url, "mqtt_host": self.hosts.address("broker")}
        return World.server_environment(self, **{**there, **settings})


@dataclass(slots=True, kw_only=True)
class SpreadLine(Line):
    """A line whose gateway is on the host `home`."""

    hosts: Hosts

    def _gateway_environment(self, home: Household) -> dict[str, str]:
        there = {"HOMEVIGIL_GATEWAY_MQTT_HOST": self.hosts.address("broker")}
        return Line._gateway_environment(self, home) | there


def run(trial: Trial) -> Tally:
    """One trial; see `Ring.run`."""
    rng, how_many = trial.rng, READINGS[trial.size]
    with ExitStack() as stack:
        hosts = stack.enter_context(Hosts())
        broker = BrokerHost(folder=trial.folder / "broker", hosts=hosts)
        world = stack.enter_context(SpreadWorld(trial=trial, hosts=hosts, broker=broker))
        _let_the_database_be_reached(world, hosts)
        line = SpreadLine(world=world, how_many=how_many, per_s=PER_S, hosts=hosts, gateway_prefix=hosts.prefix("home"))
        stack.enter_context(line)
        during_s = how_many / PER_S
        deeds = [deed for _ in range(rng.randint(1, 3)) for deed in _fault(hosts, rng, during_s, LONGEST_S[trial.size])]
        line.faults = len(deeds) // 2
        if rng.random() < KILLS_TOO:
            deeds += kills(world, rng, during_s=during_s)
        line.begin()
        line.suffer(deeds)
        for host in HOSTS:
            hosts.heal(host)
        return line.reckon()


def _let_the_database_be_reached(world: World, hosts: Hosts) -> None:
    """A relay on the host `database`, and wait until it answers."""
    address = hosts.address("database")
    with psycopg.connect(world.database_url) as conn:
        row = conn.execute("show unix_socket_directories").fetchone()
    assert row is not None
    socket = Path(row[0]) / ".s.PGSQL.5432"
    arguments = (address, str(DATABASE_PORT), str(socket))
    world.start("database relay", "faults.relay", *arguments, prefix=hosts.prefix("database"), good=True)
    url = world.server_environment()["HOMEVIGIL_SERVER_DATABASE_URL"]
    world.until(lambda: _answers(url), within_s=10, what="the database answers over the bridge")


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _fault(hosts: Hosts, rng: random.Random, during_s: float, longest_s: float) -> list[Deed]:
    """One fault and its end. Where two overlap on a host, the first end heals both."""
    host = rng.choice(HOSTS)
    hooks: Sequence[str] = rng.choice((("input",), ("output",), ("input", "output")))
    kinds: Mapping[str, Any] = {
        f"{host}: {' and '.join(hooks)} dropped": partial(hosts.drop, host, tuple(hooks)),
        f"{host}: unplugged": partial(hosts.unplug, host),
        f"{host}: only small packets": partial(hosts.drop_large, host, TUNNEL_BYTES),
    }
    what = rng.choice(sorted(kinds))
    at_s = rng.uniform(0.05, during_s)
    return [
        Deed(at_s=at_s, what=what, do=kinds[what]),
        Deed(at_s=at_s + rng.uniform(0.1, longest_s), what=f"end of {what}", do=partial(hosts.heal, host)),
    ]


RING: Final = Ring(
    name="P6",
    title="hosts apart, packets vanish",
    makes="packets to or from one host dropped by the kernel, links unplugged, only small packets let through; some kills too",
    small=2,
    full=60,
    run=run,
    at_once=2,
    mostly_waits=True,
    why_not=why_not,
)
BAD: Final[tuple[BadBuild, ...]] = ()
