"""What the clinic sets from afar: a document that both ends read alike, and refuse without telling a secret."""

from datetime import UTC, datetime

import pytest

from vitals.errors import MalformedError
from vitals.remote_config import RemoteConfig, decode_config, encode_config, revision_of

WHOLE = RemoteConfig(
    revision=7,
    zone="Asia/Urumqi",
    pairing_codes={"F0:00:00:10:00:01": "012345"},
    user_codes={"F0:00:00:10:00:01": {"1": "0077", "254": "1234"}},
    log_level="debug",
    scanning_paused_until=datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
    home_assistant=False,
    diagnostics="r7",
)


def test_what_is_encoded_is_decoded() -> None:
    assert decode_config(encode_config(WHOLE)) == (WHOLE, ())


def test_what_is_not_said_is_not_sent() -> None:
    assert encode_config(RemoteConfig(revision=3)) == b'{"v":1,"revision":3}'


def test_the_document_of_0_1_0_said_a_zone_alone() -> None:
    assert decode_config(b'{"zone": "Asia/Urumqi"}') == (RemoteConfig(zone="Asia/Urumqi"), ())


def test_words_of_a_newer_server_are_passed_over_and_named() -> None:
    config, unknown = decode_config(b'{"revision": 4, "zone": "UTC", "volume": 3, "brightness": {"of": "led"}}')
    assert config == RemoteConfig(revision=4, zone="UTC")
    assert unknown == ("brightness", "volume")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 20_000,
        b'{"revision": -1}',
        b'{"revision": "7"}',
        b'{"zone": 8}',
        b'{"log_level": "loud"}',
        b'{"home_assistant": "yes"}',
        b'{"scanning_paused_until": "2026-11-22T09:00:00"}',
        b'{"diagnostics": "a b"}',
        b'{"pairing_codes": {"F0:00:00:10:00:01": "12345"}}',
        b'{"user_codes": {"F0:00:00:10:00:01": {"1": "12345"}}}',
        b'{"user_codes": {"F0:00:00:10:00:01": {"01": "1234"}}}',
        b'{"user_codes": {"F0:00:00:10:00:01": "1234"}}',
        b'{"user_codes": {"F0:00:00:10:00:01": {"255": "1234"}}}',
        b'{"user_codes": {"F0:00:00:10:00:01": {"300": "1234"}}}',
        b'{"v": "1"}',
        b'{"v": 2}',
        b'{"zone": "UTC", "x": "' + b"x" * 20_000 + b'"}',
    ],
    ids=lambda payload: payload[:30].decode("latin-1"),
)
def test_what_does_not_fit_is_refused_as_a_whole(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_config(payload)


def test_a_refusal_does_not_say_the_code() -> None:
    with pytest.raises(MalformedError) as refused:
        decode_config(b'{"pairing_codes": {"F0:00:00:10:00:01": "99887766"}}')
    assert "99887766" not in refused.value.message


def test_a_document_of_a_newer_version_says_what_to_do() -> None:
    with pytest.raises(MalformedError, match="upgrade the gateway"):
        decode_config(b'{"v": 2, "revision": 9}')
    assert revision_of(b'{"v": 2, "revision": 9}') == 9
    assert revision_of(b"\xff") == revision_of(b'{"revision": "x"}') == 0
