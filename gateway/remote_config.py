"""What the clinic has set from afar: judged as a whole, kept in the outbox file, told back in the status.

A document that cannot be applied changes nothing: the one before it stays in force, and the status says why. The broker may
forget the retained message, and the box may restart: what was applied counts until another document comes.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import structlog

from gateway.errors import OutboxFullError
from gateway.outbox import Outbox
from vitals.errors import MalformedError
from vitals.remote_config import RemoteConfig, decode_config, encode_config, revision_of

LONGEST_PAUSE: Final = timedelta(days=7)
"""A box that reads no meter for longer is switched off, not paused; a slip in the year must not silence a home."""
REASON_CHARACTERS: Final = 200

_CONFIG: Final = "config"
_ZONE: Final = "zone"
"""Where a build of 0.1.0 kept the zone that it had been sent."""
_ANSWERED: Final = "diagnostics_answered"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What has become of the last document."""

    revision: int
    state: str
    why: str | None = None
    ignored: tuple[str, ...] = ()


class AppliedConfig:
    """The document in force, and what is said of the last one that came."""

    def __init__(self, outbox: Outbox, *, gateway_id: str) -> None:
        self._outbox, self._gateway_id = outbox, gateway_id
        self.config = kept_config(outbox.setting)
        self._answered = outbox.setting(_ANSWERED)
        state = "none" if self.config == RemoteConfig() else "applied"
        self._verdict = Verdict(revision=self.config.revision, state=state)

    def take(self, payload: bytes, *, now: datetime | None) -> bool:
        """Whether the document in `payload` is another one and is in force now. `now`: None if nobody vouches for the time."""
        try:
            config, ignored = decode_config(payload)
            _check(config, now)
            is_new = config != self.config
            if is_new:
                self._outbox.set_setting(_CONFIG, encode_config(config).decode())
        except (MalformedError, OutboxFullError) as e:
            why = str(e)[:REASON_CHARACTERS]
            self._verdict = Verdict(revision=revision_of(payload), state="refused", why=why)
            _log.warning("config_refused", gateway_id=self._gateway_id, revision=self._verdict.revision, why=why)
            return False
        if is_new:
            self.config = config
            _log.info("config_applied", gateway_id=self._gateway_id, revision=config.revision, ignored=list(ignored))
        self._verdict = Verdict(revision=config.revision, state="applied", ignored=ignored)
        return is_new

    def describe(self) -> dict[str, Any]:
        """For the status: never a code, only how many there are."""
        verdict = self._verdict
        said: dict[str, Any] = {"revision": verdict.revision, "state": verdict.state, "in_force": self.config.revision}
        if verdict.why is not None:
            said["why"] = verdict.why
        if verdict.ignored:
            said["ignored"] = list(verdict.ignored)
        counts = {"pairing_codes": len(self.config.pairing_codes)}
        if self.config.user_codes:
            counts["user_codes"] = sum(map(len, self.config.user_codes.values()))
        return said | counts

    def secrets(self) -> Collection[str]:
        """What stands in no log and no diagnosis."""
        return secrets_of(self.config)

    def zone(self, own: str) -> ZoneInfo:
        """The zone in force; `own` is that of the settings."""
        return ZoneInfo(self.config.zone or own)

    def paused_until(self, now: datetime) -> datetime | None:
        """Until when the adapter is to be left alone; None if it is not."""
        until = self.config.scanning_paused_until
        return until if until is not None and now < until <= now + LONGEST_PAUSE else None

    def wanted_diagnostics(self) -> str | None:
        """The name of a bundle that is wanted and has not been sent."""
        wanted = self.config.diagnostics
        return None if wanted is None or wanted == self._answered else wanted

    def diagnostics_sent(self, request: str) -> None:
        self._answered = request
        with suppress(OutboxFullError):  # it is sent once more after the next start, and that is all
            self._outbox.set_setting(_ANSWERED, request)


def secrets_of(config: RemoteConfig) -> Collection[str]:
    """The codes in a document."""
    return {*config.pairing_codes.values(), *(code for users in config.user_codes.values() for code in users.values())}


def kept_config(setting: Callable[[str], str | None]) -> RemoteConfig:
    """The document that an outbox file keeps; `setting` reads one of its settings."""
    kept = setting(_CONFIG)
    if kept is None:
        return RemoteConfig(zone=setting(_ZONE))
    try:
        config = decode_config(kept.encode())[0]
    except MalformedError as e:  # written by a newer build, before it was taken back
        _log.warning("kept_config_not_read", why=e.reason)
        return RemoteConfig()
    try:
        _check(config, None)
    except MalformedError as e:  # it was known when it was applied: another system, or its list of zones is damaged
        _log.warning("kept_zone_not_known", why=e.reason, advice="the zone of the settings counts")
        return msgspec.structs.replace(config, zone=None)
    return config


def _check(config: RemoteConfig, now: datetime | None) -> None:
    """Raise `MalformedError` for what cannot be applied here."""
    if config.zone is not None:
        try:
            ZoneInfo(config.zone)
        except (KeyError, OSError, ValueError) as e:
            raise MalformedError("zone", f"{config.zone!r} is not a time zone that this gateway knows") from e
    until = config.scanning_paused_until
    if until is not None and now is not None and until > now + LONGEST_PAUSE:
        raise MalformedError("pause", f"scanning is paused for {LONGEST_PAUSE.days} days at most")
