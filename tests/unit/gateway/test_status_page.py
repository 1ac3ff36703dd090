"""What the page on the wire says of the status message is what is in it."""

import re
from dataclasses import fields
from pathlib import Path

from gateway.outbox_rows import Counts

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "wire.md"


def test_the_page_names_every_count_of_the_outbox() -> None:
    (section,) = re.findall(r"^## Status\n(.*?)^## ", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([a-z_]+)`", section))
    assert {field.name for field in fields(Counts)} <= named
