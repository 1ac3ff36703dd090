"""Where a person in the home helps a meter to pair: `homevigil-gateway pair METER` on one side, the service on the other.

A Unix socket in the state folder, 0600; one JSON object to a line. The person names a meter and stays; while they do, the
service asks them for the code that the meter shows, shows them one to type into it, or lets them compare. Nobody there:
nobody is asked.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.pairing_codes import meter_address, passkey
from vitals.errors import MalformedError, UnavailableError

SOCKET: Final = "pairing.sock"
LINE_BYTES: Final = 1024
WAITING: Final = 8
"""People at the desk at a time; one more is sent away."""

_log = structlog.get_logger(__name__)


class PairingDesk:
    """`async with desk.open()`: people may come. `on_arrival` is called with the meter that somebody waits for."""

    def __init__(self, folder: Path, *, on_arrival: Callable[[str], None] = lambda _: None) -> None:
        self._path = folder / SOCKET
        self.on_arrival = on_arrival
        self._people: dict[str, _Person] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """A folder in which no socket can be made costs the help, not the gateway."""
        server = None
        try:
            self._path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._receive, self._path, limit=LINE_BYTES)
            self._path.chmod(0o600)
        except OSError as e:
            _log.warning("pairing_desk_closed", why=str(e), advice="meters that show a code cannot be paired")
        try:
            yield
        finally:
            if server is not None:
                server.close()
                self._path.unlink(missing_ok=True)
            for person in tuple(self._people.values()):
                person.leave()

    def has(self, meter_id: str) -> bool:
        """Whether somebody waits for this meter."""
        return meter_id in self._people

    async def ask_code(self, meter_id: str, within_s: float) -> int | None:
        """The code that the person reads off the meter; None if nobody types one in time."""
        answer = await self._ask(meter_id, {"ask": "code", "within_s": within_s}, within_s)
        try:
            return int(passkey(str(answer.get("code", "")))) if answer else None
        except MalformedError:
            return None

    async def compare(self, meter_id: str, code: int, within_s: float) -> bool:
        """Whether the person sees the same code on the meter."""
        answer = await self._ask(meter_id, {"compare": f"{code:06d}", "within_s": within_s}, within_s)
        return answer is not None and answer.get("same") is True

    def show(self, meter_id: str, code: int) -> None:
        """Show the person a code to type into the meter."""
        if (person := self._people.get(meter_id)) is not None:
            person.tell({"show": f"{code:06d}"})

    def tell_end(self, meter_id: str, why_not: str | None) -> None:
        """The meter is paired, or `why_not`; the person stays for another try if it is not."""
        if (person := self._people.get(meter_id)) is not None:
            person.tell({"paired": why_not is None, "why": why_not})

    async def _ask(self, meter_id: str, question: dict[str, Any], within_s: float) -> dict[str, Any] | None:
        person = self._people.get(meter_id)
        if person is None:
            return None
        while not person.answers.empty():
            person.answers.get_nowait()  # said before anybody had asked
        person.tell(question)
        try:
            async with asyncio.timeout(within_s):
                return await person.answers.get()
        except TimeoutError:
            person.tell({"too_late": True})
            return None

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        person = _Person(writer)
        meter_id = None
        try:
            meter_id = meter_address(str((await _line(reader)).get("meter", "")))
            if meter_id in self._people or len(self._people) >= WAITING:
                meter_id = None
                raise MalformedError("pairing_desk", "somebody waits for this meter already")
            self._people[meter_id] = person
            person.tell({"waiting": meter_id})
            _log.info("pairing_awaited", meter_id=meter_id)
            self.on_arrival(meter_id)
            while True:
                person.hear(await _line(reader))
        except MalformedError as e:
            person.tell({"error": e.message})
        except (OSError, EOFError, ValueError, asyncio.CancelledError):
            pass  # they have left, or the desk closes
        finally:
            if meter_id is not None:
                del self._people[meter_id]
            person.leave()


class _Person:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(4)

    def tell(self, words: dict[str, Any]) -> None:
        with suppress(OSError, RuntimeError):
            self._writer.write(json.dumps(words).encode() + b"\n")

    def hear(self, answer: dict[str, Any]) -> None:
        with suppress(asyncio.QueueFull):
            self.answers.put_nowait(answer)

    def leave(self) -> None:
        with suppress(asyncio.QueueFull):
            self.answers.put_nowait(None)
        self._writer.close()


async def _line(reader: asyncio.StreamReader) -> dict[str, Any]:
    line = await reader.readline()
    if not line:
        raise EOFError
    try:
        said = json.loads(line)
    except RecursionError as e:
        raise ValueError("too deep") from e
    if not isinstance(said, dict):
        raise MalformedError("pairing_desk", "an object, please")
    return said


async def help_to_pair(
    folder: Path, meter: str, *, say: Callable[[str], None], ask: Callable[[str], str], within_s: float
) -> bool:
    """The person's side: wait for the meter and pass on what is asked and typed; whether it is paired.

    `ask` blocks in a thread of its own. Raises `MalformedError` for a meter that cannot be, `UnavailableError` if no gateway
    runs here.
    """
    meter_id = meter_address(meter)
    try:
        reader, writer = await asyncio.open_unix_connection(os.fspath(folder / SOCKET), limit=LINE_BYTES)
    except OSError as e:
        raise UnavailableError(
            f"no gateway listens in {folder}: is it running? (systemctl status homevigil-gateway)"
        ) from e
    try:
        writer.write(json.dumps({"meter": meter_id}).encode() + b"\n")
        async with asyncio.timeout(within_s):
            while True:
                heard = await _line(reader)
                if "paired" in heard:
                    if heard["paired"]:
                        return True
                    say(f"not paired: {heard['why']}; waiting for another try")
                elif (answer := await _answer(heard, say, ask)) is not None:
                    writer.write(json.dumps(answer).encode() + b"\n")
    except (TimeoutError, EOFError, OSError):
        return False
    finally:
        writer.close()


async def _answer(
    heard: dict[str, Any], say: Callable[[str], None], ask: Callable[[str], str]
) -> dict[str, Any] | None:
    match heard:
        case {"waiting": meter_id}:
            say(f"waiting for {meter_id}: switch it on or measure, close to the gateway")
        case {"ask": "code", "within_s": within_s}:
            return {"code": await asyncio.to_thread(ask, f"The code that the meter shows ({within_s:.0f} s): ")}
        case {"compare": code, "within_s": within_s}:
            typed = await asyncio.to_thread(ask, f"Does the meter show {code}? yes or no ({within_s:.0f} s): ")
            return {"same": typed.strip().lower() in ("y", "yes")}
        case {"show": code}:
            say(f"type {code} into the meter")
        case {"too_late": True}:
            say("too late; the meter has given up")
        case {"error": why}:
            say(str(why))
            raise EOFError
    return None
