"""The words of the pages: nothing is left untranslated, and numbers and dates read as they do in each language."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir

import server.web
from server.web.words import RESOLUTIONS, Words, choose_language, read_catalog

WEB = Path(server.web.__file__).parent
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "say": None, "mark": None, "count": (1, 2)}
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]

Message = str | tuple[str, ...]

ZH, EN = Words(language="zh"), Words(language="en")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return read_catalog("zh")


def test_every_message_of_the_pages_has_its_chinese(catalog: Catalog) -> None:
    missing = [message for message in _messages() if _wordings(catalog, message) is None]

    assert missing == []


def test_the_catalog_holds_nothing_that_no_page_says(catalog: Catalog) -> None:
    said = {message if isinstance(message, str) else message[0] for message in _messages()}
    held = {message.id if isinstance(message.id, str) else message.id[0] for message in catalog if message.id}

    assert held - said == set()


def test_a_translation_fills_in_the_same_values(catalog: Catalog) -> None:
    for message in _messages():
        for wording in _wordings(catalog, message) or ():
            english = message if isinstance(message, str) else message[1]
            assert _values(wording) == _values(english), message


def test_no_chinese_sentence_ends_with_an_english_full_stop(catalog: Catalog) -> None:
    for message in _messages():
        for wording in _wordings(catalog, message) or ():
            assert not re.search(r"[\u4e00-\u9fff][.,:;!?]", wording), wording


def test_dates_numbers_and_spans_are_written_as_each_language_writes_them() -> None:
    at = datetime(2026, 11, 20, 23, 31, tzinfo=UTC)

    assert ZH.day(date(2026, 11, 20)) == "2026年11月20日"
    assert EN.day(date(2026, 11, 20)) == "Nov 20, 2026"
    assert ZH.moment(at, "Asia/Shanghai") == "11月21日 07:31"
    assert EN.moment(at, "Asia/Shanghai") == "Nov 21 07:31"
    assert ZH.ago(timedelta(minutes=41)) == "41分钟前"
    assert EN.ago(timedelta(minutes=41)) == "41 minutes ago"
    assert ZH.lasting(timedelta(days=2)) == "2天"
    assert EN.number(12345.678, 1) == "12,345.7"
    assert EN.pressure(152.4, None) == "152/–"
    assert ZH.listed(["胸痛", "麻木"]) == "胸痛、麻木"


def test_plurals_follow_the_language() -> None:
    one, many = (
        "Last assessed %(ago)s on %(n)s reading in 30 days",
        "Last assessed %(ago)s on %(n)s readings in 30 days",
    )

    assert EN.count(one, many, 1, ago="now") == "Last assessed now on 1 reading in 30 days"
    assert EN.count(one, many, 1200, ago="now") == "Last assessed now on 1,200 readings in 30 days"
    assert ZH.count(one, many, 1, ago="刚才") == "最近评估：刚才，依据 30 天内 1 次读数"


@pytest.mark.parametrize(
    ("candidates", "accept", "chosen"),
    [
        (("en", "zh"), "", "en"),
        ((None, "zh"), "en", "zh"),
        (("fr", None), "en-GB,en;q=0.9", "en"),
        ((), "fr,zh-TW;q=0.5,en;q=0.4", "zh"),
        ((), "en;q=0.1,zh;q=0.9", "zh"),
        ((), "de", "zh"),
        ((), "en;q=nonsense,*", "zh"),
        ((), "", "zh"),
    ],
)
def test_the_language_is_the_first_that_was_chosen(
    candidates: tuple[str | None, ...], accept: str, chosen: str
) -> None:
    assert choose_language(*candidates, accept=accept) == chosen


def test_a_code_that_is_newer_than_the_page_is_shown_as_it_is() -> None:
    assert EN.among(RESOLUTIONS, "beamed_up") == "beamed_up"


def _messages() -> Iterator[Message]:
    options = {"**/templates/**.html": {"newstyle_gettext": "true", "encoding": "utf-8"}}
    for _file, _line, message, _comments, _context in extract_from_dir(
        WEB, method_map=METHODS, options_map=options, keywords=KEYWORDS
    ):
        yield message


def _wordings(catalog: Catalog, message: Message) -> tuple[str, ...] | None:
    found = catalog.get(message if isinstance(message, str) else message[0])
    if found is None or not found.string or found.fuzzy:
        return None
    return (found.string,) if isinstance(found.string, str) else tuple(found.string)


def _values(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", text))
