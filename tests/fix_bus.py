"""A private D-Bus, one for each test; bleak finds it through DBUS_SYSTEM_BUS_ADDRESS."""

import os
import shutil
from collections.abc import Iterator

import pytest

from homevigil.embedded import bus
from homevigil.embedded.postgres import temporary_folder


@pytest.fixture
def bus_address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
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
