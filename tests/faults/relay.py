"""`python -m faults.relay ADDRESS PORT SOCKET`: a TCP door to a Unix socket, so that a database can stand on another host."""

import asyncio
import sys
from contextlib import suppress


async def main(address: str, port: int, socket: str) -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs = await asyncio.open_unix_connection(socket)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, theirs[1]), _pump(theirs[0], writer))

    server = await asyncio.start_server(pass_on, address, port)
    async with server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    with suppress(OSError):
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
