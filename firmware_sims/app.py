"""The simulated meters as one process: meters somewhere, commands in, events out.

Ends when it is told to (`stop`, SIGINT, SIGTERM), when the bus or the dongle is lost, or when something here breaks.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from firmware_sims import clock
from firmware_sims.bluez_device import Timing
from firmware_sims.commands import Command, Status, Stop, Type, carry_out
from firmware_sims.happenings import Happening
from firmware_sims.measure import Measure
from firmware_sims.over_the_air import LinkEvent, MeterOnAir
from firmware_sims.places import OpenPlace, Place, first_of, on_bus
from firmware_sims.settings import Meter
from firmware_sims.voices import JsonLines, Voice
from vitals.errors import MalformedError, UnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured without being asked: once, or every `every_s` seconds."""

    measure: Measure
    every_s: float | None = None


async def run(meters: Sequence[Meter], *, timing: Timing) -> None:
    """Many meters on a bus, in JSON lines; raises `UnavailableError` if there is no bus, or it is lost."""
    await serve(partial(on_bus, meters=meters, timing=timing), JsonLines(), tells_links=False)


async def serve(
    open_place: OpenPlace,
    voice: Voice,
    *,
    plan: Plan | None = None,
    tells_links: bool = True,
    ends_with_input: bool = False,
) -> None:
    """Serve until stopped; raises `UnavailableError` if the place cannot be had, or is lost, and `MalformedError` if the meter
    cannot measure what is planned.

    `tells_links` for connections and pairings, too, and the numbers shown while pairing. `ends_with_input` for a person, who
    ends with Ctrl-D.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)

    def tell(happening: Happening) -> None:
        _say(voice.happened(happening, now_ns=clock.now_ns()))

    def tell_link(meter: str, event: LinkEvent) -> None:
        if tells_links:
            _say(voice.linked(meter, event, now_ns=clock.now_ns()))

    async with open_place(tell, tell_link) as place:
        _say(voice.ready(place.meters))
        _read_lines(
            lambda line: _obey(line, place, voice, stopped),
            at_end=stopped.set if ends_with_input else lambda: None,
        )
        tasks = [] if plan is None else [_start(plan, place)]
        if tells_links:
            tasks += [asyncio.create_task(_tell_numbers(m, voice), name="numbers") for m in place.meters.values()]
        reason = await first_of(stopped, place)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if reason is not None:
        raise UnavailableError(reason)


def _start(plan: Plan, place: Place) -> "asyncio.Task[None]":
    """The first measurement now, so that one which cannot be measured is known at once; the others from a task."""
    carry_out(plan.measure, place.meters)
    return asyncio.create_task(_repeat(plan, place), name="plan")


async def _repeat(plan: Plan, place: Place) -> None:
    while plan.every_s is not None:
        await asyncio.sleep(plan.every_s)
        carry_out(plan.measure, place.meters)


def _obey(line: bytes, place: Place, voice: Voice, stopped: asyncio.Event) -> None:
    try:
        _carry_out(voice.command(line), place, voice, stopped)
    except MalformedError as e:
        _say(voice.refused(e))


def _carry_out(command: Command, place: Place, voice: Voice, stopped: asyncio.Event) -> None:
    match command:
        case Stop():
            stopped.set()
        case Status():
            _say(voice.status(place.meters))
        case Type():
            _named(command.meter, place).typed.put_nowait(command.number)
        case _:
            carry_out(command, place.meters)


def _named(name: str, place: Place) -> MeterOnAir:
    meter = place.meters.get(name)
    if meter is None:
        raise MalformedError("command", f"no meter {name!r} on the air", name)
    return meter


async def _tell_numbers(meter: MeterOnAir, voice: Voice) -> None:
    while True:
        number = await meter.shown.get()
        _say(voice.shown(meter.meter.name, number))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _read_lines(take: Callable[[bytes], None], *, at_end: Callable[[], None]) -> None:
    """Give every line of standard input to `take`, in the loop, and say when there are no more. For a program, the end of input
    is not the end of the meters.

    A thread with plain `os.read`: standard input may be a terminal, a pipe, a file or /dev/null, which an event loop cannot
    all wait for, and a thread inside a buffered reader would block the interpreter's exit.
    """
    loop = asyncio.get_running_loop()

    def read() -> None:
        rest = b""
        try:
            while chunk := os.read(0, 65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    loop.call_soon_threadsafe(take, line)
            loop.call_soon_threadsafe(at_end)
        except RuntimeError:
            return  # the loop has ended before us

    threading.Thread(target=read, name="stdin", daemon=True).start()
