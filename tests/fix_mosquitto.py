"""A real mosquitto on loopback, one for each test, which a test may stop, kill and start again."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from homevigil.embedded.broker import EmbeddedBroker


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    if not (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()):
        _missing("mosquitto is not installed; to run this suite: sudo apt-get install mosquitto")
    with EmbeddedBroker(folder=tmp_path / "broker") as broker:
        yield broker


def _missing(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
