"""Whatever is noted in the audit has words there, in both languages, and an area to narrow by: an auditor reads no code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.web.audit_words import ACTS, AREAS

SERVER = Path(__file__).parents[2] / "server"
NOTING = {"note", "_note", "note_deed"}
ACT = re.compile(r"[a-z_]+\.[a-z_]*")


def noted() -> Iterator[str]:
    """Every act that is written out where something is noted; of one that is put together, how it begins."""
    for path in SERVER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in NOTING:
                said = [*node.args, *(each.value for each in node.keywords if each.arg in (None, "act"))]
                for each in (part for argument in said for part in ast.walk(argument)):
                    if isinstance(each, ast.Constant) and isinstance(each.value, str) and ACT.fullmatch(each.value):
                        yield each.value


@pytest.mark.parametrize("act", sorted(set(noted())))
def test_an_act_has_words(act: str) -> None:
    assert act in ACTS or (act.endswith(".") and any(each.startswith(act) for each in ACTS))


def test_the_search_finds_what_is_noted() -> None:
    assert {"session.open", "contact.gone", "webhook.add", "alert.", "record.export"} <= set(noted())


def test_an_area_has_acts() -> None:
    assert {each.partition(".")[0] for each in ACTS} >= AREAS.keys()
