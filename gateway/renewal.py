"""The gateway's certificate is renewed from its sixtieth day on, for as long as it takes: it is good for thirty more."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, Never

import structlog

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.identity import Identity, end_in_words, read_identity
from vitals.errors import MalformedError, UnavailableError

LOOK_S: Final = 3600.0
RETRY: Final = Backoff(first_s=60.0, longest_s=6 * 3600.0)

_log = structlog.get_logger(__name__)


class Renewal:
    """Keeps `identity` good for as long as it runs. `on_renewed` is called, on the loop, when there is a new certificate."""

    def __init__(self, identity: Identity, *, clock: Clock, on_renewed: Callable[[], None]) -> None:
        self._identity, self._clock, self._on_renewed = identity, clock, on_renewed
        self.why: str | None = None

    async def run(self) -> Never:
        failures = 0
        while True:
            if not self._is_due():
                await asyncio.sleep(LOOK_S * (0.5 + random.random()))  # not all that were enrolled on one day at once
                continue
            try:
                await asyncio.to_thread(self._renew)
                failures, self.why = 0, None
            except (UnavailableError, MalformedError, OSError) as e:
                failures, self.why = failures + 1, str(e)
                _log.warning("certificate_not_renewed", why=self.why, failures=failures)
                await asyncio.sleep(RETRY.delay_s(failures, random.random()))
            else:
                _log.info("certificate_renewed", ends_at=self._identity.facts.ends_at.isoformat())
                self._on_renewed()

    def describe(self) -> dict[str, Any]:
        """For the status."""
        ends_at = self._identity.facts.ends_at
        left = (ends_at - self._clock.now()).days if self._clock.is_believable() else None
        return {"ends_at": ends_at.isoformat(), "days_left": left, "why_not_renewed": self.why}

    def _is_due(self) -> bool:
        return self._clock.is_believable() and self._clock.now() >= self._identity.facts.renew_from

    def _renew(self) -> None:
        """In a thread. What enrolment was said meanwhile by a person is taken up first."""
        from gateway.enrolment import RefusedError, renew  # cryptography, four times a year

        self._identity = read_identity(self._identity.folder) or self._identity
        if not self._is_due():
            return
        try:
            self._identity = renew(self._identity, is_time_known=True)
        except RefusedError as e:
            raise UnavailableError(f"the clinic refuses: {e}") from e
        except UnavailableError as e:
            now, facts = self._clock.now(), self._identity.facts
            if now < facts.ends_at:
                raise
            raise UnavailableError(f"the certificate {end_in_words(facts, now)}") from e
