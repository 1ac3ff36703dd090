"""strace, which kills a process at a system call of our choice; never skipped in CI."""

import os
import shutil

import pytest


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        why = "strace is not installed; to run this suite: sudo apt-get install strace"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found
