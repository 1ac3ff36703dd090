"""What a trial with real processes stands on: PostgreSQL, mosquitto, and our own programs as children with names.

One cluster serves a campaign worker for all its trials, each with a fresh database; the broker is the trial's own. Children are
started, killed (-9) and started again by name; everything is torn down at the end, and dies with us if we are killed. Call it
from the main thread only: Linux ends a child when the thread that started it ends.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Final, Self

from memory import IN_LITTLE_ROOM, folder_in_memory
from rules_in_force import put_in_force

from faults.child import GOOD
from faults.trial import Trial
from faults.zygote import Forked, Zygote, is_possible
from homevigil.embedded import child
from homevigil.embedded.broker import EmbeddedBroker
from homevigil.embedded.postgres import EmbeddedPostgres
from server.store.migrate import migrate
from server.store.vault_keys import SETTING

TESTS: Final = Path(__file__).resolve().parents[1]
ROOT: Final = TESTS.parent

NO_SYNC: Final = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200")
"""Kills and immediate shutdowns lose nothing without fsync: no trial of this kind cuts the power."""

TEMPLATE: Final = "migrated"
POLL_S: Final = 0.02
LINES_QUOTED: Final = 8

_ports = count()
_databases = count(1)


class TrialFailedError(Exception):
    """A trial that came to nothing good; the message is the sentence to report."""


@dataclass(slots=True, kw_only=True)
class Child:
    """One of our programs, by name, over all its lives. `process` is None while it is not meant to run."""

    name: str
    arguments: Sequence[str]
    env: Mapping[str, str]
    log: Path
    prefix: Sequence[str] = ()
    preload: Sequence[str] = ()
    starts: int = 0
    process: "subprocess.Popen[bytes] | Forked | None" = None

    @property
    def may_be_forked(self) -> bool:
        """Not what wants another way to start, or another loader (`LD_PRELOAD`)."""
        return is_possible() and not self.prefix and not any(name.startswith("LD_") for name in self.env)


@dataclass(slots=True, kw_only=True)
class World:
    """Database and broker of one trial, and the children in it. `with World(trial=trial) as world`.

    `cluster`: a PostgreSQL of the trial's own instead of the worker's; `broker`: one that is configured otherwise.
    """

    trial: Trial
    cluster: EmbeddedPostgres = None  # type: ignore[assignment]  # the worker's, unless given
    broker: EmbeddedBroker = None  # type: ignore[assignment]  # plain, unless given
    database: str = field(init=False)
    children: dict[str, Child] = field(default_factory=dict, init=False)
    kills: int = field(default=0, init=False)
    """Processes ended by `kill -9`, the broker included."""
    _stack: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self.cluster is None:
                self.cluster = worker_cluster()
            self.database = f"trial_{os.getpid()}_{next(_databases)}"
            self.cluster.create_database(self.database, template=TEMPLATE)
            stack.callback(self._drop_database)
            if self.broker is None:
                self.broker = EmbeddedBroker(folder=self.trial.folder / "broker", port=quiet_port())
            self.broker.start()
            stack.callback(self.broker.stop)
            stack.callback(self._stop_children)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def on_exit(self, do: Callable[[], object]) -> None:
        """Do this when the world is torn down, before its own parts."""
        self._stack.callback(do)

    @property
    def database_url(self) -> str:
        return self.cluster.url(self.database)

    def server_environment(self, **settings: object) -> dict[str, str]:
        """The settings of our server here; `settings` replace or add some: `mqtt_port=proxy.port`."""
        given = {"database_url": self.database_url, "mqtt_port": self.broker.port, "log_level": "info"}
        given |= {"vault_key_file": os.environ[SETTING]} | settings
        return {f"HOMEVIGIL_SERVER_{name.upper()}": str(value) for name, value in given.items()}

    # -- children ------------------------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        module: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        preload: Sequence[str] = (),
        good: bool = False,
    ) -> Child:
        """Start `python -m module arguments` as `name`, with the trial's bad build (unless `good`).

        `env` is added to a plain environment; `prefix` comes before the interpreter (`ip netns exec …`, `prlimit …`).
        `preload`: modules that are slow to import and that it will want, imported once for all its lives (`faults.zygote`).
        """
        assert name not in self.children, name
        bad = GOOD if good else self.trial.bad or GOOD
        self.children[name] = Child(
            name=name,
            arguments=[bad, module, *arguments],
            env=plain_environment() | dict(env or {}),
            log=self.trial.folder / f"{name}.log",
            prefix=prefix,
            preload=preload,
        )
        self.start_again(name)
        return self.children[name]

    def start_again(self, name: str) -> None:
        """Give a child, or the `broker`, that was killed or stopped its next life: same command, environment, port and log."""
        if name == "broker":
            self.broker.start()
            return
        each = self.children[name]
        assert each.process is None, f"{name} is running"
        each.process = self._fork(each) if each.may_be_forked else self._execute(each)
        each.starts += 1

    def _fork(self, each: Child) -> Forked:
        return worker_zygote().start(
            each.arguments, env=each.env, log=each.log, cwd=self.trial.folder, preload=each.preload
        )

    def _execute(self, each: Child) -> "subprocess.Popen[bytes]":
        command = [*each.prefix, sys.executable, "-m", "faults.child", *each.arguments]
        with each.log.open("ab") as log:
            return child.start(command, log=log, env=each.env, cwd=self.trial.folder, death_signal=signal.SIGKILL)

    def kill(self, name: str) -> None:
        """`kill -9`, of a child or of the `broker`."""
        if name == "broker":
            self.broker.kill()
        else:
            self._end(name, signal.SIGKILL)
        self.kills += 1

    def stop(self, name: str) -> None:
        """Ask a child to end, and wait for it."""
        self._end(name, signal.SIGTERM)

    def is_running(self, name: str) -> bool:
        process = self.children[name].process
        return process is not None and process.poll() is None

    def log_of(self, name: str) -> str:
        """All that a child, or the `broker`, has logged in all its lives."""
        log = self.broker.folder / "broker.log" if name == "broker" else self.children[name].log
        return log.read_text(errors="replace") if log.exists() else ""

    # -- waiting -------------------------------------------------------------------------------------------------------

    def until(self, is_so: Callable[[], bool], *, within_s: float, what: str) -> None:
        """Wait for a claim to hold; raises `TrialFailedError` that quotes the logs if time runs out or a child ends by itself."""
        deadline = time.monotonic() + within_s
        while not is_so():
            self.check_children()
            if time.monotonic() > deadline:
                raise TrialFailedError(f"not within {within_s:.0f} s: {what}\n{self.quote_logs()}")
            time.sleep(POLL_S)

    def check_children(self) -> None:
        """Raise `TrialFailedError` if a child that is meant to run has ended."""
        for each in self.children.values():
            if each.process is not None and each.process.poll() is not None:
                end = child.tail(each.log, LINES_QUOTED)
                raise TrialFailedError(f"{each.name} ended by itself with code {each.process.returncode}:\n{end}")

    def quote_logs(self) -> str:
        """The last lines of every log, for a failure's sentence."""
        logs = {"broker": self.broker.folder / "broker.log"} | {each.name: each.log for each in self.children.values()}
        return "\n".join(f"-- {name}\n{child.tail(log, LINES_QUOTED)}" for name, log in logs.items())

    # -- the end -------------------------------------------------------------------------------------------------------

    def _end(self, name: str, with_signal: signal.Signals) -> None:
        each = self.children[name]
        if each.process is not None:
            child.stop(each.process, with_signal=with_signal)  # type: ignore[arg-type]  # Forked has the verbs it needs
            each.process = None

    def _stop_children(self) -> None:
        for name in self.children:
            self._end(name, signal.SIGKILL)

    def _drop_database(self) -> None:
        if is_up(self.cluster):
            self.cluster.drop_database(self.database)


class PersistentBroker(EmbeddedBroker):
    """A mosquitto that keeps its state on disk and writes it at every change, as comfort: nothing of it is needed."""

    def __init__(self, *, folder: Path, port: int, state: Path | None = None) -> None:
        super().__init__(folder=folder, port=port)
        self.state = state or folder / "state"

    def forget(self) -> None:
        """Wipe the state; the broker is down."""
        (self.state / "mosquitto.db").unlink(missing_ok=True)

    def _command(self) -> list[str | Path]:
        command = super()._command()
        self.state.mkdir(exist_ok=True)
        config = self.folder / "mosquitto.conf"
        ours = f"persistence true\npersistence_location {self.state}/\nautosave_on_changes true\nautosave_interval 1"
        config.write_text(config.read_text().replace("persistence false", ours))
        return command


def plain_environment() -> dict[str, str]:
    """Ours, without a developer's own settings, and with the product and the campaign on the path."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("HOMEVIGIL_")}
    return ours | {"PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}", "PYTHONUNBUFFERED": "1"}


# -- one cluster and one zygote for a worker ---------------------------------------------------------------------------

_worker_clusters: list[EmbeddedPostgres] = []


@cache
def worker_zygote() -> Zygote:
    """This process's forking server, started at its first use."""
    zygote = Zygote(plain_environment())
    Finalize(None, zygote.close, exitpriority=3)
    return zygote


def worker_cluster() -> EmbeddedPostgres:
    """This process's cluster, started at its first use, and again if a trial has left it down."""
    if not _worker_clusters:
        folder = folder_in_memory()
        Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=1)
        _worker_clusters.append(new_cluster(folder, options=NO_SYNC + IN_LITTLE_ROOM))
        Finalize(None, _worker_clusters[0].stop, exitpriority=2)
    cluster = _worker_clusters[0]
    if not is_up(cluster):
        cluster.start()
    return cluster


def new_cluster(folder: Path, *, options: tuple[str, ...] = NO_SYNC) -> EmbeddedPostgres:
    """A started cluster in `folder` (short, and open to be passed through) with the migrated template in it."""
    cluster = EmbeddedPostgres(folder=folder, options=options)
    cluster.start()
    try:
        url = cluster.create_database(TEMPLATE)
        migrate(url)
        put_in_force(url)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def is_up(cluster: EmbeddedPostgres) -> bool:
    """Whether the server process runs."""
    process = cluster._process
    return process is not None and process.poll() is None


def quiet_port() -> int:
    """A free port that the kernel hands to nobody: a client that calls a dead port of the usual range may meet itself there,
    and then the broker cannot come back."""
    for _ in range(1000):
        port = 12_000 + (os.getpid() * 37 + next(_ports)) % 18_000
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise TrialFailedError("no free TCP port between 12000 and 30000 on 127.0.0.1")
