"""The description of the MQTT side: the AsyncAPI initiative's parser has nothing against it, and it takes what is really sent."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import jsonschema_rs
import pytest
from households import EPOCH, Household
from typer.testing import CliRunner

from server.api.asyncapi import MESSAGES, describe
from server.cli import app
from vitals.envelope import Receipt, Rejection, encode_receipt
from vitals.reading import HeartRate, OxygenSaturation, Temperature
from vitals.remote_config import RemoteConfig, encode_config
from vitals.topics import PREFIX, Channel

AT = datetime(2026, 11, 20, 23, 5, 30, tzinfo=UTC)
HOME = Household(
    gateway_id="gw-1",
    patient_id=1,
    cuff="F0:00:00:10:00:01",
    glucometer="F0:00:00:10:00:02",
    since=datetime.combine(date(2026, 1, 1), datetime.min.time(), tzinfo=UTC),
)


def takes(schema: str, message: bytes) -> bool:
    document = describe()
    validator = jsonschema_rs.Draft7Validator({**document, "$ref": f"#/components/schemas/{schema}"})
    return validator.is_valid(json.loads(message))


def test_the_parser_of_asyncapi_finds_no_error(judge_asyncapi: Callable[[Any], list[dict[str, Any]]]) -> None:
    assert judge_asyncapi(describe()) == []


def test_the_parser_would_find_one(judge_asyncapi: Callable[[Any], list[dict[str, Any]]]) -> None:
    document = json.loads(json.dumps(describe()))
    document["operations"]["receive_readings"]["action"] = "listen"

    assert judge_asyncapi(document) != []


def test_every_channel_is_described_by_its_topic() -> None:
    addresses = {channel["address"] for channel in describe()["channels"].values()}

    assert addresses == {f"{PREFIX}/{{gateway}}/{channel}" for channel in Channel}
    assert set(MESSAGES) == set(Channel)


def test_what_is_really_sent_fits_its_schema() -> None:
    readings = [
        HOME.pressure(AT),
        HOME.glucose(AT),
        HOME.weight(AT),
        HOME.other(AT, OxygenSaturation(spo2_percent=97.0, pulse_bpm=66.0), "2a5e"),
        HOME.other(AT, Temperature(temperature_celsius=37.0, unit_sent="°F", temperature_sent=98.6), "2a1c"),
        HOME.other(AT, HeartRate(pulse_bpm=72.0), "2a37"),
    ]
    receipt = Receipt(epoch=EPOCH, upto=7, extra=(9,), rejected=(Rejection(seq=8, reason="range"),), missing=((3, 5),))

    assert takes("Envelope", HOME.envelope(*readings))
    assert takes("Receipt", encode_receipt(receipt))
    assert takes("RemoteConfig", encode_config(RemoteConfig(revision=3, zone="Asia/Shanghai")))
    assert takes("Status", b'{"state": "offline"}')


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("Envelope", b'{"v": 1, "gateway_id": "gw-1", "epoch": "0123456789abcdef", "readings": []}'),
        ("Receipt", b'{"v": 1, "epoch": "0123456789abcdef", "upto": -1}'),
        ("Receipt", b'{"v": 1, "epoch": "0123456789abcdef", "upto": 9, "missing": [[1, 2, 3]]}'),
        ("RemoteConfig", b'{"v": 1, "zone": "NUL\\u0000"}'),
        ("Status", b'{"state": "perhaps"}'),
    ],
)
def test_what_is_refused_does_not_fit(schema: str, message: bytes) -> None:
    assert not takes(schema, message)


@pytest.mark.parametrize(("word", "key", "version"), [("openapi", "openapi", "3.1"), ("asyncapi", "asyncapi", "3.0")])
def test_the_descriptions_can_be_printed(word: str, key: str, version: str) -> None:
    printed = CliRunner().invoke(app, [word])

    assert json.loads(printed.output)[key].startswith(version)
