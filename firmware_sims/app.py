"""The simulated meters as one process: an org.bluez on the bus, the meters on its air, commands in, events out.

Ends when it is told to (`stop`, SIGINT, SIGTERM), when the bus is lost, or when something here breaks.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import structlog

from firmware_sims import clock
from firmware_sims.bluez_bridge import Bridge
from firmware_sims.bluez_device import Timing
from firmware_sims.commands import Stop, carry_out, line_of, line_of_error, line_of_ready, parse_command
from firmware_sims.happenings import Happening
from firmware_sims.over_the_air import MeterOnAir
from firmware_sims.settings import Meter
from firmware_sims.virtual_link import VirtualLink
from vitals.errors import MalformedError, UnavailableError

log = structlog.get_logger()


async def run(meters: Sequence[Meter], *, timing: Timing) -> None:
    """Serve until stopped; raises `UnavailableError` if there is no bus, or it is lost."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        link = VirtualLink()
        bridge = await _open_bridge(stack, link, timing)
        on_air = {
            meter.name: await stack.enter_async_context(MeterOnAir(meter, link, now=clock.now, listener=_tell))
            for meter in meters
        }
        _say(line_of_ready(on_air))
        _read_lines(lambda line: _obey(line, on_air, stopped))
        await _until_stopped_or_lost(stopped, bridge)


async def _open_bridge(stack: AsyncExitStack, link: VirtualLink, timing: Timing) -> Bridge:
    try:
        return await stack.enter_async_context(Bridge(link, timing=timing))
    except OSError as e:
        raise UnavailableError(f"no D-Bus: {e}; check DBUS_SYSTEM_BUS_ADDRESS") from e


async def _until_stopped_or_lost(stopped: asyncio.Event, bridge: Bridge) -> None:
    waiting = asyncio.create_task(stopped.wait(), name="until stopped")
    losing = asyncio.create_task(bridge.gone(), name="until the bus is lost")
    await asyncio.wait({waiting, losing}, return_when=asyncio.FIRST_COMPLETED)
    is_lost = not stopped.is_set()
    for task in (waiting, losing):
        task.cancel()
    await asyncio.gather(waiting, losing, return_exceptions=True)
    if is_lost:
        raise UnavailableError("the D-Bus connection was lost")


def _obey(line: bytes, on_air: dict[str, MeterOnAir], stopped: asyncio.Event) -> None:
    try:
        command = parse_command(line)
        if isinstance(command, Stop):
            stopped.set()
        else:
            carry_out(command, on_air)
    except MalformedError as e:
        _say(line_of_error(e))


def _tell(happening: Happening) -> None:
    _say(line_of(happening, now_ns=clock.now_ns()))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _read_lines(take: Callable[[bytes], None]) -> None:
    """Give every line of standard input to `take`, in the loop. The end of input is not the end of the meters.

    A thread with plain `os.read`: standard input may be a terminal, a pipe, a file or /dev/null, which an event loop cannot
    all wait for, and a thread inside a buffered reader would block the interpreter's exit.
    """
    loop = asyncio.get_running_loop()

    def read() -> None:
        rest = b""
        while chunk := os.read(0, 65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(None, lines):
                try:
                    loop.call_soon_threadsafe(take, line)
                except RuntimeError:
                    return  # the loop has ended before us

    threading.Thread(target=read, name="stdin", daemon=True).start()
