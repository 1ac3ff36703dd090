"""`homevigil`: one word, one room. Imports a room only when its word is said, so that `--help` is there at once.

No command lives here; each room keeps its own.
"""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Final

import typer


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A first word of the command line: `attribute` of `module` is a typer app, or a function of the arguments."""

    module: str
    attribute: str
    says: str


WORDS: Final = {
    "demo": Word(
        module="homevigil.demo.cli", attribute="app", says="the whole line on this machine, with simulated patients"
    ),
    "doctor": Word(
        module="homevigil.doctor.cli", attribute="app", says="check database, broker, bus and clock; say what to do"
    ),
    "decode": Word(module="homevigil.decode", attribute="main", says="bytes of a meter to canonical JSON"),
    "rules": Word(
        module="server.rule_commands",
        attribute="app",
        says="test rules, try them on the clinic's past, let a doctor approve them",
    ),
    "gateway": Word(module="gateway.cli", attribute="app", says="the box in the home: Bluetooth in, MQTT out"),
    "server": Word(module="server.cli", attribute="app", says="the clinic side: MQTT in, alerts out"),
    "faults": Word(module="homevigil.faults", attribute="main", says="break everything and prove that nothing is lost"),
    "sim": Word(
        module="firmware_sims.sim_cli", attribute="main", says="be the meter: one on a dongle, with every fault"
    ),
    "sims": Word(module="firmware_sims.cli", attribute="app", says="simulated meters on a virtual air"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 well, 1 not, 2 not understood."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0 if given else 2
    if given[0] == "--version":
        print(f"homevigil {metadata.version('homevigil')}")
        return 0
    word = WORDS.get(given[0])
    if word is None:
        print(f"homevigil: {given[0]!r} is not a command\n\n{usage()}", file=sys.stderr)
        return 2
    return _run(word, given[0], given[1:])


def usage() -> str:
    words = "\n".join(f"  {name:<9} {word.says}" for name, word in WORDS.items())
    return f"usage: homevigil COMMAND ...\n\n{words}\n\n  homevigil COMMAND --help says more; homevigil --version"


def _run(word: Word, name: str, arguments: list[str]) -> int:
    command = getattr(importlib.import_module(word.module), word.attribute)
    if not isinstance(command, typer.Typer):
        return int(command(arguments) or 0)
    try:
        command(args=arguments, prog_name=f"homevigil {name}")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
