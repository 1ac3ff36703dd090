"""A Bluetooth controller that is not ours: a dongle of this machine, or whatever else Bumble names a transport.

Opening it fails in many ways, and each has something that a person can do. None of the repairs of `virtual_link` is here: a real
controller is taken as it is.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from bumble.core import BaseBumbleError
from bumble.host import Host
from bumble.transport import open_transport

from vitals.errors import UnavailableError

OPEN_S: Final = 10.0
"""To open a transport and to have the first answer from the controller behind it. A dongle takes a few milliseconds."""

_BUSY: Final = "another program holds it: sudo systemctl stop bluetooth, or unplug what uses it"
_FORBIDDEN: Final = "this user may not: run it with sudo, or give the user the device (docs/how-to/be-the-meter.md)"
_ABSENT: Final = "there is none of this name: look with lsusb or btmgmt info, and count from 0"
_ADVICE: Final = {
    errno.EBUSY: _BUSY,
    errno.EALREADY: _BUSY,
    errno.EPERM: _FORBIDDEN,
    errno.EACCES: _FORBIDDEN,
    errno.ENODEV: _ABSENT,
    errno.ENOENT: _ABSENT,
    errno.EAFNOSUPPORT: "the kernel of this machine has no Bluetooth sockets; try usb:0",
    errno.ECONNREFUSED: "nobody listens there",
}
_USB_ADVICE: Final = {
    "USBErrorBusy": _BUSY,
    "USBErrorAccess": _FORBIDDEN,
    "USBErrorNotFound": _ABSENT,
    "USBErrorNoDevice": _ABSENT,
    "USBErrorOther": "this machine shows libusb no USB at all",
    "TransportInitError": _ABSENT,
}
"""By the names of libusb's own exceptions, so that libusb need not be there to be spoken of."""
NAMES: Final = "usb:0, hci-socket:0, serial:/dev/ttyACM0, tcp-client:HOST:PORT"


@asynccontextmanager
async def open_dongle(name: str) -> AsyncIterator[tuple[Host, Callable[[], Awaitable[None]]]]:
    """The host of the controller behind the transport `name`, and what ends when it is gone; raises `UnavailableError`."""
    transport = await _open(name)
    lost: asyncio.Future[None] | None = getattr(transport.source, "terminated", None)

    async def gone() -> None:
        await (asyncio.shield(lost) if lost is not None else asyncio.Event().wait())

    try:
        yield Host(transport.source, transport.sink), gone
    finally:
        await transport.close()


@asynccontextmanager
async def answering(name: str) -> AsyncIterator[None]:
    """For the first words with the controller; raises `UnavailableError` if it does not answer, or not well."""
    try:
        async with asyncio.timeout(OPEN_S):
            yield
    except TimeoutError as e:
        raise UnavailableError(f"{name} does not answer: unplug it and plug it in again") from e
    except BaseBumbleError as e:
        raise UnavailableError(f"{name} refuses: {e}; it may be no controller of Bluetooth 4.0 or later") from e


async def _open(name: str) -> Any:
    try:
        async with asyncio.timeout(OPEN_S):
            return await open_transport(name)
    except ModuleNotFoundError as e:
        raise UnavailableError(f"{name} needs the Python package {e.name}: pip install {e.name}") from e
    except TimeoutError as e:
        raise UnavailableError(f"{name} cannot be opened within {OPEN_S:.0f} s") from e
    except (ValueError, AssertionError) as e:
        raise UnavailableError(f"{name!r} is no name of a controller; such are {NAMES}") from e
    except Exception as e:  # each of Bumble's transports raises what its own library raises, and plain Exception
        raise UnavailableError(f"{name} cannot be opened: {_words(e)}") from e


def _words(error: Exception) -> str:
    advice = _USB_ADVICE.get(type(error).__name__)
    if isinstance(error, OSError) and error.errno is not None:
        advice = _ADVICE.get(error.errno, advice)
    said = str(error) or type(error).__name__
    return said if advice is None else f"{said}: {advice}"
