"""A line to a broker on which, after so many messages, no more come, while everything else does: as mosquitto 2.0.11 may stall.

The broker takes the messages that are swallowed for delivered and not acknowledged, and delivers them again on the next
connection of the same session.
"""

import socket
import threading
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Self

PUBLISH = 0x30


class StallingLine:
    """Listens on a port of its own; the n-th connection carries `messages[n]` messages to us, later ones all."""

    def __init__(self, host: str, port: int, messages: list[int]) -> None:
        self._broker = (host, port)
        self._messages: Iterator[int | None] = chain(messages, repeat(None))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            _end(each)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _run(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            broker = socket.create_connection(self._broker)
            self._sockets += [client, broker]
            self.connections += 1
            self._run(self._up, client, broker)
            self._run(self._down, broker, client, next(self._messages))

    def _up(self, client: socket.socket, broker: socket.socket) -> None:
        try:
            while some := client.recv(65536):
                broker.sendall(some)
        except OSError:
            pass
        _end(broker)

    def _down(self, broker: socket.socket, client: socket.socket, messages: int | None) -> None:
        passed = 0
        try:
            for packet in _packets(broker):
                is_message = packet[0] & 0xF0 == PUBLISH
                if is_message and messages is not None and passed >= messages:
                    continue
                passed += is_message
                client.sendall(packet)
        except OSError:
            pass
        _end(client)


def _packets(source: socket.socket) -> Iterator[bytes]:
    """MQTT control packets, whole."""
    with source.makefile("rb") as stream:
        while first := stream.read(1):
            head, length, shift = first, 0, 0
            while True:
                digit = stream.read(1)
                head += digit
                length |= (digit[0] & 0x7F) << shift
                shift += 7
                if digit[0] < 0x80:
                    break
            yield head + stream.read(length)


def _end(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
