"""`homevigil` is there at once, whatever it is asked; a box in the home never carries the server's weight."""

import json
import subprocess
import sys

import pytest

from homevigil.cli import WORDS, main

HEAVY = (
    "numba",
    "numpy",
    "llvmlite",
    "fastapi",
    "starlette",
    "uvicorn",
    "psycopg",
    "bumble",
    "bleak",
    "paho",
    "babel",
    "yaml",
)

ASK = """
import contextlib, io, json, sys
from homevigil.cli import main
with contextlib.redirect_stdout(io.StringIO()) as said:
    code = main(sys.argv[1:])
print(json.dumps({"code": code, "said": said.getvalue(), "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""

HELPS = [["--help"], ["--version"], *([word, "--help"] for word in WORDS)]
DEEPER = [
    ["gateway", "run", "--help"],
    ["server", "run", "--help"],
    ["rules", "test", "--help"],
    ["sims", "run", "--help"],
]


@pytest.mark.parametrize("arguments", [*HELPS, *DEEPER], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["code"] == 0
    assert answer["said"].strip()
    assert [module for module in HEAVY if module in answer["modules"]] == []


@pytest.mark.parametrize("module", ["gateway.app", "gateway.bleak_radio", "gateway.uplink", "gateway.cli"])
def test_a_gateway_never_carries_the_servers_weight(module: str) -> None:
    ask = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    refused = {"numpy", "numba", "llvmlite", "psycopg", "fastapi", "server", "firmware_sims", "homevigil", "bumble"}
    assert sorted(refused & set(loaded)) == []


def test_the_nouns_need_msgspec_and_nothing_else() -> None:
    ask = (
        "import sys; before = set(sys.modules); import vitals.envelope, vitals.topics, vitals.gatt.glucose;"
        "print(*{n.split('.')[0] for n in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert set(loaded) - {"typing_extensions"} == {"msgspec", "vitals"}  # msgspec takes it along where it is


def test_without_a_word_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr().out
    assert all(word in said for word in WORDS)


def test_an_unknown_word_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dmeo"]) == 2
    assert "'dmeo'" in capsys.readouterr().err


def test_a_words_exit_code_is_the_commands() -> None:
    assert main(["decode", "2a35", "00"]) == 1
    assert main(["decode", "2a35", "1698005e007100e8070b17071e0048000000"]) == 0
    assert main(["rules", "no-such-command"]) == 2
