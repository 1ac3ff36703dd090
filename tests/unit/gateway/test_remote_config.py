"""What the clinic has set: applied as a whole or not at all, kept, told back, and never with a secret."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from unit.gateway.samples import GATEWAY, NOW

from gateway.outbox import Outbox
from gateway.remote_config import AppliedConfig
from vitals.remote_config import RemoteConfig, encode_config


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite", now=NOW) as outbox:
        yield outbox


def _config(outbox: Outbox) -> AppliedConfig:
    return AppliedConfig(outbox, gateway_id=GATEWAY)


def test_what_was_applied_survives_a_restart(outbox: Outbox) -> None:
    sent = RemoteConfig(revision=2, zone="Asia/Urumqi", pairing_codes={"F0:00:00:10:00:01": "012345"})
    assert _config(outbox).take(encode_config(sent), now=NOW)
    again = _config(outbox)
    assert again.config == sent
    assert again.describe() == {"revision": 2, "state": "applied", "in_force": 2, "pairing_codes": 1}


def test_a_kept_zone_that_this_system_does_not_know_any_more_costs_the_zone_and_nothing_else(outbox: Outbox) -> None:
    kept = b'{"revision": 2, "zone": "Mars/Olympus", "pairing_codes": {"F0:00:00:10:00:01": "012345"}}'
    outbox.set_setting("config", kept.decode())
    again = _config(outbox)
    assert again.zone("Asia/Shanghai").key == "Asia/Shanghai"
    assert again.config.pairing_codes == {"F0:00:00:10:00:01": "012345"}


def test_the_same_document_again_is_no_news(outbox: Outbox) -> None:
    config = _config(outbox)
    assert config.take(b'{"revision": 1, "zone": "Asia/Urumqi"}', now=NOW)
    assert not config.take(b'{"revision": 1, "zone": "Asia/Urumqi"}', now=NOW)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b'{"revision": 2, "zone": "Mars/Olympus", "log_level": "debug"}', "Mars/Olympus"),
        (b'{"revision": 2, "zone": "UTC", "log_level": "loud"}', "log_level"),
        (b'{"revision": 2, "zone": "UTC", "v": 9}', "upgrade the gateway"),
        (b'{"revision": 2, "scanning_paused_until": "2027-11-21T09:00:00Z"}', "7 days at most"),
    ],
)
def test_what_cannot_be_applied_leaves_all_as_it_was_and_says_why(outbox: Outbox, payload: bytes, why: str) -> None:
    config = _config(outbox)
    config.take(b'{"revision": 1, "zone": "Asia/Urumqi"}', now=NOW)
    assert not config.take(payload, now=NOW)
    assert config.config == RemoteConfig(revision=1, zone="Asia/Urumqi")
    said = config.describe()
    assert (said["revision"], said["state"], said["in_force"]) == (2, "refused", 1)
    assert why in said["why"]
    assert _config(outbox).config.revision == 1


def test_a_word_of_a_newer_server_is_told_back(outbox: Outbox) -> None:
    config = _config(outbox)
    config.take(b'{"revision": 1, "volume": 3}', now=NOW)
    assert config.describe()["ignored"] == ["volume"]


def test_no_code_is_in_the_log_or_in_the_status(outbox: Outbox) -> None:
    config = _config(outbox)
    with capture_logs() as logs:
        config.take(b'{"revision": 1, "pairing_codes": {"F0:00:00:10:00:01": "493817"}}', now=NOW)
        config.take(b'{"revision": 2, "pairing_codes": {"F0:00:00:10:00:01": "49381777"}}', now=NOW)
        config.take(b'{"revision": 3, "user_codes": {"F0:00:00:10:00:01": {"1": "4938"}}}', now=NOW)
    assert len(logs) == 3
    assert config.describe()["user_codes"] == 1
    assert "4938" not in json.dumps([logs, config.describe()])


def test_a_pause_ends_by_itself_and_without_a_believable_clock_there_is_none(outbox: Outbox) -> None:
    config = _config(outbox)
    config.take(b'{"revision": 1, "scanning_paused_until": "2026-11-21T09:00:00Z"}', now=None)
    assert config.paused_until(NOW) == NOW + timedelta(hours=1)
    assert config.paused_until(NOW + timedelta(hours=1)) is None
    assert config.paused_until(NOW - timedelta(days=8)) is None, "a clock that is set back must not silence a home"


def test_diagnostics_are_wanted_once(outbox: Outbox) -> None:
    config = _config(outbox)
    assert config.wanted_diagnostics() is None
    config.take(b'{"revision": 1, "diagnostics": "r1"}', now=NOW)
    assert config.wanted_diagnostics() == "r1"
    config.diagnostics_sent("r1")
    assert _config(outbox).wanted_diagnostics() is None
    config.take(b'{"revision": 2, "diagnostics": "r2"}', now=NOW)
    assert config.wanted_diagnostics() == "r2"


def test_the_zone_that_a_build_of_0_1_0_was_sent_still_counts(outbox: Outbox) -> None:
    outbox.set_setting("zone", "Asia/Urumqi")
    assert _config(outbox).zone("Asia/Shanghai").key == "Asia/Urumqi"


def test_what_is_not_set_is_as_the_settings_have_it(outbox: Outbox) -> None:
    config = _config(outbox)
    config.take(b'{"revision": 1, "zone": "Asia/Urumqi"}', now=NOW)
    config.take(b'{"revision": 2}', now=NOW)
    assert config.zone("Asia/Shanghai").key == "Asia/Shanghai"


def test_what_a_newer_build_has_kept_does_not_stop_an_older_one(outbox: Outbox) -> None:
    outbox.set_setting("config", '{"v": 2, "revision": 9}')
    assert _config(outbox).config == RemoteConfig()
