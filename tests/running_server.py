"""The server as a process of its own, as an operator starts it; its log lines are read as they come."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ending

from server.store.vault_keys import SETTING

WAIT_S = 60.0


def environment(database_url: str, **more: str) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith("HOMEVIGIL_")}
    return {**keep, "HOMEVIGIL_SERVER_DATABASE_URL": database_url, SETTING: os.environ[SETTING], **more}


class Running:
    """A server process; its log lines are read as they come."""

    def __init__(self, roles: str, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server", "run", "--role", roles], env=env, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(json.loads(line))
                self._news.notify_all()

    def wait_for(self, event: str) -> dict[str, Any]:
        def found() -> "dict[str, Any] | None":
            return next((line for line in self.lines if line.get("event") == event), None)

        with self._news:
            assert self._news.wait_for(found, WAIT_S), self.lines
        line = found()
        assert line is not None
        return line

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """The exit code and how long it took to end."""
        code, took_s = ending.end(self.process, with_signal)
        self.close()
        return code, took_s

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def running(roles: str, env: dict[str, str]) -> Iterator[Running]:
    server = Running(roles, env)
    try:
        yield server
    finally:
        server.close()
