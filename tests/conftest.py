"""Every `fix_<resource>.py` beside this file is a set of fixtures on a real resource."""

import os
from pathlib import Path

import pytest
from memory import folder_in_memory

from server.store import vault_keys

HERE = Path(__file__).parent

pytest_plugins = sorted(path.stem for path in HERE.glob("fix_*.py"))

os.environ[vault_keys.SETTING] = str(folder_in_memory() / "vault.key")
vault_keys.write(vault_keys.key_file(), vault_keys.make())

LONGEST_FIRST = (
    "faults/test_campaign.py",  # minutes on every core: beside it, those to whom a busy machine does nothing
    "faults/test_namespaces.py",  # twenty seconds of mere waiting
    "installation/test_install.py",
    "installation/test_on_a_pi.py",
    "installation/test_killed.py",
    "integration/test_recompute.py",
    "unit/rules/test_any_order_ends_alike.py",
    "integration/test_backtest.py",
    "unit/rules/test_corrections_end_alike.py",
    "unit/rules/test_engine_equals_oracle.py",
    "unit/rules/test_glucose_equals_oracle.py",
    "unit/rules/test_trends_equal_oracle.py",
    "web/test_accessibility.py",
    "integration/test_audit_tampering.py",
    "integration/test_access_matrix.py",
    "integration/test_audit_chain.py",
    "web/test_worklist.py",
    "web/test_in_chromium.py",
    "integration/test_journey.py",
    "integration/test_demo.py",
    "integration/test_heartbeat.py",
    "integration/test_gateway_cuts.py",
    "integration/test_server_app.py",
    "integration/test_door.py",
    "integration/test_gateway_process.py",
)
"""What several workers begin with, so that what is left at the end is short and no core waits long for the other."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also what takes long (marked `full`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long only if it is asked for. In a worker, the longest files first, after the order has been shuffled;

    all others stay shuffled, and so do the tests within a file.
    """
    if not config.getoption("--full"):
        long = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]
    if hasattr(config, "workerinput"):
        places = {HERE / name: place for place, name in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))
