"""A network between two processes that can be cut, refused, swallowed, slowed and torn in the middle of a packet.

An asyncio loop in a thread of its own; every verb may be called from anywhere, and holds for new connections as for old ones.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from enum import Enum
from typing import Final, Self

CHUNK: Final = 4096
TURN_S: Final = 0.01
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Direction(Enum):
    UP = "towards the broker"
    DOWN = "from the broker"


class TcpProxy:
    """`with TcpProxy(port, to=broker.port) as proxy: proxy.cut()`."""

    def __init__(self, port: int, *, to: int) -> None:
        self.port = port
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {port}")
        self._server: asyncio.Server | None = None
        self._sockets: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = {each: asyncio.Event() for each in Direction}
        self._bytes_per_turn: int | None = None
        self._tear_after: int | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen)
        for each in Direction:
            self.let_pass(each)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- faults, and their ends ----------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection."""
        self._now(self._reset)

    def refuse(self) -> None:
        """Reset every connection, and refuse new ones until `accept`."""
        self._do(self._refuse)

    def accept(self) -> None:
        self._do(self._listen)

    def swallow(self, *directions: Direction) -> None:
        """A black hole: connections stand, new ones are accepted, and nothing comes through, until `let_pass`."""
        for each in directions or Direction:
            self._now(self._open[each].clear)

    def let_pass(self, *directions: Direction) -> None:
        """What was held up arrives now, as TCP's own retries would bring it."""
        for each in directions or Direction:
            self._now(self._open[each].set)

    def trickle(self, bytes_per_turn: int | None) -> None:
        """Let only so many bytes through in every hundredth of a second; None: all there are."""
        self._bytes_per_turn = bytes_per_turn

    def tear(self, after: int) -> None:
        """Let `after` more bytes of the next packet through, then reset its connection."""
        self._tear_after = after

    # -- in the loop ---------------------------------------------------------------------------------------------------

    def _now(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(work)

    def _do(self, work: "Callable[[], asyncio.Future[None] | object]") -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result()  # type: ignore[arg-type]

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._reset()

    def _reset(self) -> None:
        for each in list(self._sockets):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        for task in list(self._tasks):
            task.cancel()

    async def _close(self) -> None:
        await self._refuse()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [near_writer]
        try:
            far, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
            writers.append(far_writer)
            self._sockets.update(socket_of(each) for each in writers)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(near, far_writer, Direction.UP))
                group.create_task(self._pump(far, near_writer, Direction.DOWN))
        except* (OSError, asyncio.CancelledError, _TornError):
            pass
        finally:
            self._tasks.discard(task)
            self._sockets.difference_update(socket_of(each) for each in writers)
            for each in writers:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        while data := await reader.read(CHUNK):
            await self._open[direction].wait()
            if self._tear_after is not None:
                data, self._tear_after, is_torn = data[: self._tear_after], None, True
            else:
                is_torn = False
            while data:
                piece = data if self._bytes_per_turn is None else data[: self._bytes_per_turn]
                data = data[len(piece) :]
                writer.write(piece)
                await writer.drain()
                if data:
                    await asyncio.sleep(TURN_S)
            if is_torn:
                raise _TornError
        raise _TornError  # one end has said goodbye: so shall the other


class _TornError(Exception):
    pass


def socket_of(writer: asyncio.StreamWriter) -> socket.socket:
    return writer.get_extra_info("socket")._sock  # type: ignore[no-any-return]
