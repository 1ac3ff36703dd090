"""Gateway and meters in one process, over an air in memory: what the demo runs where there is no dbus-daemon.

`python -m homevigil.demo.air --meters FILE` speaks the same lines as `python -m firmware_sims run`. The collector, the outbox and
the uplink are the gateway's own; bleak, D-Bus and Bumble have no part in it, and the demo says so.
"""

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from firmware_sims import clock, commands
from firmware_sims.air import Air
from firmware_sims.happenings import Happening
from firmware_sims.settings import Meter, parse_meters
from gateway import log
from gateway.app import run_gateway
from gateway.config import Settings, load_settings
from vitals.errors import MalformedError


def main(arguments: Sequence[str]) -> int:
    """Run until SIGINT, SIGTERM or a `stop` line. Settings of the gateway come from the environment as always."""
    parser = argparse.ArgumentParser(prog="python -m homevigil.demo.air", description=__doc__)
    parser.add_argument("--meters", type=Path, required=True, help="the file that `python -m firmware_sims run` takes")
    meters = parse_meters(parser.parse_args(arguments).meters.read_bytes())
    log.configure()
    asyncio.run(serve(load_settings(), meters))
    return 0


async def serve(settings: Settings, meters: Sequence[Meter]) -> None:
    """The gateway with these meters in its air, until it is told to stop."""
    air = Air(meters, now=clock.now, listener=_tell)
    gateway = asyncio.create_task(run_gateway(settings, radio=air), name="gateway")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, gateway.cancel)
    _say(commands.line_of_ready(air.meters))
    threading.Thread(target=_listen, args=(loop, air, gateway), name="stdin", daemon=True).start()
    try:
        await gateway
    except asyncio.CancelledError:
        _say('{"event": "stopped"}')


def obey(line: bytes, air: Air, gateway: "asyncio.Task[None]") -> None:
    """Carry out one line of standard input; what cannot be understood is answered and changes nothing."""
    try:
        command = commands.parse_command(line)
        match command:
            case commands.Stop():
                gateway.cancel()
            case commands.Status():
                _say(commands.line_of_status(air.meters))
            case commands.Type():
                raise MalformedError("command", "in memory nothing is paired", command.meter)
            case _:
                commands.carry_out(command, air.meters)
    except MalformedError as e:
        _say(commands.line_of_error(e))


def _listen(loop: asyncio.AbstractEventLoop, air: Air, gateway: "asyncio.Task[None]") -> None:
    """Plain `os.read` in a thread: one inside a buffered reader would block the interpreter's exit."""
    rest = b""
    while chunk := os.read(0, 65536):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):
            try:
                loop.call_soon_threadsafe(obey, line, air, gateway)
            except RuntimeError:
                return  # the loop has ended before us


def _tell(happening: Happening) -> None:
    _say(commands.line_of(happening, now_ns=clock.now_ns()))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
