"""The gateway as a process of its own: settings, log, signals, exit code."""

import asyncio
import gc
import signal

import structlog

from gateway import log, systemd
from gateway.app import advice, run_gateway
from gateway.config import Settings, load_settings
from gateway.errors import OutboxBusyError, OutboxVersionError, SettingsError
from vitals.errors import UnavailableError

_log = structlog.get_logger(__name__)

SETTLED_S = 20.0
"""After which everything that a running gateway needs has been imported."""
COLLECT_S = 20.0
"""A meter is read once a minute at most, a home has a few."""
WRONG_SETTINGS = 2
OUTBOX_UNUSABLE = 3


def run_until_signalled() -> int:
    """Run until SIGINT or SIGTERM; the exit code (0: told to stop)."""
    log.configure()
    try:
        settings = load_settings()
    except SettingsError as e:
        _log.error("settings_wrong", why=str(e))  # the message says it all
        return WRONG_SETTINGS
    try:
        asyncio.run(_run(settings))
    except (OutboxBusyError, OutboxVersionError, UnavailableError, OSError) as e:
        _log.error("gateway_cannot_start", gateway_id=settings.id, why=advice(e))
        return OUTBOX_UNUSABLE
    return 0


async def _run(settings: Settings) -> None:
    gateway = asyncio.create_task(run_gateway(settings), name="gateway")
    loop = asyncio.get_running_loop()
    loop.call_later(SETTLED_S, _settle, loop)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, gateway.cancel)
    try:
        await gateway
    except asyncio.CancelledError:
        systemd.notify("STOPPING=1")
        _log.info("gateway_stopped", gateway_id=settings.id)


def _settle(loop: asyncio.AbstractEventLoop) -> None:
    """Take what is there by now out of the garbage collector's view, and look through the rest regularly. Every session leaves a
    connection to the bus in a cycle, of 20 KB, and a full collection by itself would wait until there are 4 MB of them."""
    gc.collect()
    gc.freeze()
    loop.call_later(COLLECT_S, _collect, loop)


def _collect(loop: asyncio.AbstractEventLoop) -> None:
    gc.collect()  # a few milliseconds: what was frozen is not looked at
    loop.call_later(COLLECT_S, _collect, loop)
