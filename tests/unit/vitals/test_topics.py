"""Topics that are ours, and everything that is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.errors import MalformedError
from vitals.topics import Channel, Topic

HOSTILE_NAMES = [
    "",
    "+",
    "#",
    "a/b",
    "../a",
    "a\0b",
    "a\nb",
    "a\n",
    " a",
    "a b",
    "$SYS",
    "-a",
    ".a",
    "a" * 65,
    "网关",
    "а",  # Cyrillic
    "a\u202e",
    "a'; drop table reading; --",
    "a*",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=repr)
def test_a_gateway_cannot_be_named_so_that_a_topic_means_something_else(name: str) -> None:
    with pytest.raises(MalformedError, match="topic"):
        Topic(gateway_id=name, channel=Channel.READINGS)
    with pytest.raises(MalformedError, match="topic"):
        Topic.parse(f"homevigil/1/{name}/readings")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "homevigil",
        "homevigil/1",
        "homevigil/1/gw-1",
        "homevigil/1/gw-1/",
        "homevigil/1/gw-1/other",
        "homevigil/1/gw-1/READINGS",
        "homevigil/1/gw-1/readings/",
        "homevigil/1/gw-1/readings/more",
        "homevigil/2/gw-1/readings",
        "/homevigil/1/gw-1/readings",
        "x/homevigil/1/gw-1/readings",
        "homevigil/1//readings",
        "$share/intake/homevigil/1/gw-1/readings",
    ],
)
def test_another_topic_is_not_ours(text: str) -> None:
    with pytest.raises(MalformedError, match="topic") as refused:
        Topic.parse(text)
    assert refused.value.reason == "topic"


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,63}", fullmatch=True), st.sampled_from(Channel))
def test_a_topic_is_parsed_as_it_was_built(gateway_id: str, channel: Channel) -> None:
    topic = Topic(gateway_id=gateway_id, channel=channel)
    assert Topic.parse(str(topic)) == topic
    assert str(topic) == f"homevigil/1/{gateway_id}/{channel.value}"
    assert str(topic).count("/") == 3


@given(st.text())
def test_any_text_is_a_topic_of_ours_or_malformed(text: str) -> None:
    try:
        assert str(Topic.parse(text)) == text
    except MalformedError as e:
        assert e.reason == "topic"  # noqa: PT017


def test_a_filter_matches_one_channel_of_every_gateway() -> None:
    assert [channel.for_every_gateway for channel in Channel] == [
        "homevigil/1/+/readings",
        "homevigil/1/+/receipts",
        "homevigil/1/+/status",
        "homevigil/1/+/config",
        "homevigil/1/+/diagnostics",
    ]
