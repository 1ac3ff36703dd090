"""The clinic's own system as the senders meet it: slow at times, busy at times, and it writes down every call it got.

A real HTTP server in a thread of the trial. Which call meets what is drawn from the trial's die by the call's id and number of
times, so that a call that is repeated may fare better.
"""

import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class ClinicSystem:
    """`busy` and `late` are shares of calls; `late_s` must be longer than a sender waits."""

    def __init__(self, rng: random.Random, *, busy: float = 0.05, late: float = 0.05, late_s: float = 1.2) -> None:
        self.calls: Counter[str] = Counter()
        """How often each id came, and was taken (2xx, late or not)."""
        self.bodies: dict[str, bytes] = {}
        self.faults = 0
        self.unsigned: list[str] = []
        self._rng, self._busy, self._late, self._late_s = rng, busy, late, late_s
        self._turn = threading.Lock()
        clinic = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, wait_s = clinic.take(dict(self.headers), body)
                time.sleep(wait_s)
                try:
                    self.send_response(status)
                    self.end_headers()
                except OSError:
                    return  # the sender has given up waiting, or is dead

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, float]:
        """What the call meets: a status, and how long it is kept waiting for it."""
        lower = {name.lower(): value for name, value in headers.items()}
        call_id = lower["webhook-id"]
        with self._turn:
            try:
                Webhook(SECRET).verify(body.decode(), lower)
            except WebhookVerificationError as e:
                self.unsigned.append(f"{call_id}: {e}")
            draw = self._rng.random()
            if draw < self._busy:
                self.faults += 1
                return 503, 0.0
            self.calls[call_id] += 1
            self.bodies[call_id] = body
            if draw < self._busy + self._late:
                self.faults += 1
                return 200, self._late_s
            return 200, 0.0

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
