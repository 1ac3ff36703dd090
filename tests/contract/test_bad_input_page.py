"""The table of bad inputs and the tests that prove it name each other."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = [
    line
    for line in (ROOT / "docs/reference/bad-inputs.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d+ \|", line)
]
OWN = ("tests/integration/test_bad_input.py", "tests/integration/test_bad_messages.py")


def named(line: str) -> list[str]:
    return re.findall(r"`(test_\w+)`", line)


def names_of(path: Path) -> set[str]:
    """The names of a module's tests, without importing it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_row_is_in_the_table_with_a_test() -> None:
    rows = {int(line.split("|")[1]): named(line) for line in TABLE}
    assert list(rows) == list(range(1, 25))
    assert [number for number, tests in rows.items() if not tests] == []


def modules() -> list[Path]:
    """Every module of tests that is ours: tests/reference has a venv in it, tests/timescale somebody's packages."""
    others = {".venv", "node_modules"}
    return [path for path in (ROOT / "tests").rglob("test_*.py") if not others & set(path.parts)]


def test_every_test_that_the_table_names_exists() -> None:
    there = {name for path in modules() for name in names_of(path)}
    assert [name for line in TABLE for name in named(line) if name not in there] == []


def test_every_test_that_the_table_of_times_names_exists() -> None:
    there = {name for path in modules() for name in names_of(path)}
    names = named((ROOT / "docs/explanation/time.md").read_text(encoding="utf-8"))
    assert len(names) > 10
    assert [name for name in names if name not in there] == []


def test_every_test_of_bad_input_is_named_in_its_row() -> None:
    wanted = {name for path in OWN for name in names_of(ROOT / path)}
    assert wanted - {name for line in TABLE for name in named(line)} == set()
    misplaced = [
        name
        for line in TABLE
        for name in named(line)
        if name in wanted and f"_{line.split('|')[1].strip()}_" not in name
    ]
    assert misplaced == []
