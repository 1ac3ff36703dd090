"""What the pages say is true: commands exist, settings are the models' fields, links lead somewhere, snippets run."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import typer.main
import yaml

from gateway.config import Settings as GatewaySettings
from homevigil import decode
from homevigil.cli import WORDS
from server.config import Settings as ServerSettings
from vitals.envelope import decode_receipt

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}

COMMAND = re.compile(r"\bhomevigil ((?:[a-z][a-z-]+ ?)+)")
OPTION = re.compile(r"run\.py (demo|test)((?: --?[a-z-]+(?: [^\s-]\S*)?)*)")


def subcommands(word: str) -> dict[str, Any]:
    """The commands of a word, or none if it has only itself."""
    import importlib

    app = getattr(importlib.import_module(WORDS[word].module), "app", None)
    command = typer.main.get_command(app) if app is not None else None
    return getattr(command, "commands", {})


def said_commands() -> list[tuple[str, str]]:
    found = set()
    for page, text in TEXT.items():
        for code in re.findall(r"`([^`\n]+)`|^    (.+)$|^(?:\$ )?(homevigil .+)$", text, re.MULTILINE):
            found |= {(page, words.strip()) for each in code for words in COMMAND.findall(each)}
    return sorted(found)


def test_pages_were_found() -> None:
    assert {"README.md", "docs/README.md", "docs/explanation/safety.md", "deploy/README.md"} <= set(TEXT)


@pytest.mark.parametrize(("page", "words"), said_commands())
def test_every_command_that_a_page_names_exists(page: str, words: str) -> None:
    first, *rest = words.split()
    assert first in WORDS, f"{page}: homevigil {words}"
    commands = subcommands(first)
    if rest and commands and first != "decode":
        assert rest[0] in commands, f"{page}: homevigil {words}"


def test_every_command_is_in_the_reference() -> None:
    said = {words for page, words in said_commands() if page == "docs/reference/commands.md"}
    for word in WORDS:
        names = subcommands(word)
        wanted = {f"{word} {name}" for name in names} if word not in ("demo", "doctor", "decode") else {word}
        assert wanted <= said, word


@pytest.mark.parametrize(
    "option", sorted({o for text in TEXT.values() for c, o in OPTION.findall(text) if c == "demo" and o.strip()})
)
def test_every_option_of_the_demo_that_a_page_names_exists(option: str) -> None:
    from homevigil.demo.cli import app

    known = {name for parameter in typer.main.get_command(app).params for name in parameter.opts}
    names = set(re.findall(r"--[a-z-]+", option))
    assert names <= known | {"--help"}


def test_the_one_option_of_the_tests_that_pages_name_exists() -> None:
    named = {o.strip() for text in TEXT.values() for c, o in OPTION.findall(text) if c == "test" and o.strip()}
    assert named == {"--full"}
    assert "[--full]" in (ROOT / "run.py").read_text()


NEEDED = object()


@pytest.mark.parametrize(
    ("model", "prefix"), [(GatewaySettings, "HOMEVIGIL_GATEWAY_"), (ServerSettings, "HOMEVIGIL_SERVER_")]
)
def test_every_setting_is_documented_with_its_default(model: Any, prefix: str) -> None:
    page = TEXT["docs/reference/settings.md"]
    rows = dict(re.findall(rf"^\| `{prefix}(\w+)` \| ([^|]+) \|", page, re.MULTILINE))
    wanted = {name.upper(): _default_in_words(default) for name, default in _defaults(model).items()}
    assert {name: default.strip() for name, default in rows.items()} == wanted


@pytest.mark.parametrize("page", sorted(TEXT))
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT[page])
    here = (ROOT / page).parent
    missing = [target for target in targets if "://" not in target and not (here / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", sorted(TEXT))
def test_paths_in_backticks_exist(page: str) -> None:
    rooms = ("vitals", "gateway", "server", "firmware_sims", "homevigil", "tests", "docs", "deploy")
    named = re.findall(rf"`((?:{'|'.join(rooms)})/[\w./-]*)`", TEXT[page])
    made_by_hand = ("deploy/secrets", "deploy/.env")
    here = (ROOT / page).parent
    there = [path for path in named if (ROOT / path).exists() or (here / path).exists()]
    missing = [path for path in named if path not in there and not path.startswith(made_by_hand)]
    assert missing == []


def test_every_page_can_be_reached_from_the_index() -> None:
    index = TEXT["docs/README.md"]
    pages = [page for page in TEXT if page.startswith("docs/") and page != "docs/README.md"]
    assert [page for page in pages if f"({page.removeprefix('docs/')})" not in index] == []


def test_frames_in_the_pages_decode() -> None:
    frames = {frame for text in TEXT.values() for frame in re.findall(r"\b(2[ab][0-9a-f]{2}) ([0-9a-f]{8,})\b", text)}
    assert len(frames) >= 2
    for characteristic, frame in frames:
        assert "error" not in decode.canonical_or_error(characteristic, frame), frame


def test_the_receipts_in_the_wire_page_are_receipts() -> None:
    plain, rewinding = re.findall(r"^(\{.*\"upto\".*\})$", TEXT["docs/reference/wire.md"], re.MULTILINE)
    assert decode_receipt(plain.encode()).upto == json.loads(plain)["upto"]
    assert decode_receipt(rewinding.encode()).missing == ((412, 480), (496, 496))


def test_the_scenario_in_the_rules_page_passes(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", TEXT["docs/reference/rules.md"], re.DOTALL)
    assert yaml.safe_load(shown)["tests"]
    file = tmp_path / "shown.test.yaml"
    file.write_text(shown)
    command = [sys.executable, "-m", "homevigil", "rules", "test", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_binding_shown_works(database_url: str) -> None:
    shown = re.findall(r"```sh\n(.*?)```", TEXT["docs/how-to/bind-a-meter.md"], re.DOTALL)
    lines = [line for block in shown for line in block.splitlines()]
    assert len(lines) == 6
    with psycopg.connect(database_url) as conn:
        conn.execute("insert into app_user (login, display_name, role, password_hash) values ('lin', '', 'doctor', '')")
    environment = {**os.environ, "HOMEVIGIL_SERVER_DATABASE_URL": database_url}
    for line in lines:
        word, *arguments = shlex.split(line)
        command = [sys.executable, "-m", word, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, line + done.stderr
    with psycopg.connect(database_url) as conn:
        assert conn.execute("select meter_id, gateway_id, patient_id from meter_binding").fetchall() == [
            ("F0:00:00:10:00:01", "gw-0001", 1)
        ]


def test_the_changelog_keeps_clinical_behaviour_apart() -> None:
    from server.rules.load import load_catalog

    text = TEXT["CHANGELOG.md"]
    assert "### Clinical behaviour" in text
    for rule in load_catalog().rules:
        assert f"`{rule.id}` version {rule.version}" in text, f"{rule.id} v{rule.version} is not in CHANGELOG.md"


def test_thresholds_and_sources_of_the_catalog_are_in_the_safety_page() -> None:
    page = TEXT["docs/explanation/safety.md"]
    for words in (
        "140",
        "90 mmHg",
        "180",
        "120 mmHg",
        "135 and 85",
        "AHA",
        "not a certified medical device",
        "not an emergency",
    ):
        assert words in page, words


def test_the_page_of_the_catalog_is_what_the_rules_say() -> None:
    """`homevigil rules list --markdown > docs/reference/catalog.md` makes it anew."""
    from server.rules.catalog_page import page_of
    from server.rules.load import CATALOG

    assert TEXT["docs/reference/catalog.md"] == page_of(CATALOG)


def test_every_number_of_the_catalog_is_in_the_safety_page() -> None:
    from server.rules.load import load_catalog

    table = TEXT["docs/explanation/safety.md"].partition("## Thresholds")[2]
    numbers = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", table)}
    missing = [
        (rule.id, value)
        for rule in load_catalog().rules
        for value in _numbers_of(rule.model_dump(mode="json")["when"])
        if value not in numbers
    ]
    assert missing == []


def _numbers_of(when: dict[str, Any]) -> list[float]:
    """What a rule of the catalog compares with, however its kind writes it."""
    parts = when.get("all_of") or when.get("any_of") or []
    if when.get("kind") == "combined" or "kind" not in when:
        return [number for part in parts for number in _numbers_of(part.get("condition", part))]
    places = [*parts, when, when.get("range") or {}]
    words = ("above", "at_least", "below", "at_most", "rises_by", "falls_by", "from", "to")
    numbered = [
        place for place in places if place.get("unit") != "flag"
    ]  # a flag is there or not: its 1 is no threshold
    return [place[word] for place in numbered for word in words if isinstance(place.get(word), int | float)]


def test_the_readme_says_what_it_is_not_and_both_commands() -> None:
    text = TEXT["README.md"]
    for words in (
        "Not a certified medical device",
        "Not an emergency service",
        "python3 run.py demo",
        "python3 run.py test",
    ):
        assert words in text, words
    assert re.search(r"!\[[^\]]+\]\(docs/images/worklist\.png\)", text)


def _defaults(model: Any) -> dict[str, Any]:
    if issubclass(model, msgspec.Struct):
        return {each.name: NEEDED if each.required else each.default for each in msgspec.structs.fields(model)}
    return {name: NEEDED if each.is_required() else each.default for name, each in model.model_fields.items()}


def _default_in_words(default: Any) -> str:
    return {NEEDED: "required", None: "none", "": "empty"}.get(default, f"`{default}`")
