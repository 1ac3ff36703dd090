"""The system bus that bleak finds through DBUS_SYSTEM_BUS_ADDRESS: a private one for each test, or the machine's."""

import os
import shutil
from collections.abc import Iterator

import pytest
from patience import MACHINE

from homevigil.embedded import bus
from homevigil.embedded.postgres import temporary_folder


@pytest.fixture
def bus_address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if MACHINE is not None:
        yield os.environ["DBUS_SYSTEM_BUS_ADDRESS"]
        return
    if not bus.is_available():
        why = "dbus-daemon is not installed; to run this suite: sudo apt-get install dbus-daemon"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    folder = temporary_folder()  # a Unix socket's path must be short
    with bus.EmbeddedBus(folder=folder) as private:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", private.address)
        yield private.address
    shutil.rmtree(folder)
