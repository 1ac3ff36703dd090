"""The rings of the fault campaign, one module each: `RING`, and the bad builds (`BAD`) that it must catch.

A module is imported only when it is asked for: some need tools that not every machine has.
"""

import importlib
import re
from functools import cache
from pathlib import Path
from types import ModuleType

from faults.trial import BadBuild, Ring

_FOLDER = Path(__file__).parent


def modules() -> tuple[str, ...]:
    """The names of the ring modules, such as `p1_kills`, in the order of their letters and numbers."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.py") if re.match(r"[a-z]\d+_", path.stem)))


@cache
def load(module: str) -> ModuleType:
    """A ring module by its name; what it lacks on this machine raises ImportError."""
    return importlib.import_module(f"faults.rings.{module}")


def ring(module: str) -> Ring:
    found = load(module).RING
    assert isinstance(found, Ring), module
    return found


def bad_builds(module: str) -> tuple[BadBuild, ...]:
    return tuple(load(module).BAD)


def forgiven(module: str) -> tuple[BadBuild, ...]:
    """Mistakes that break nothing, of those rings that have some to show."""
    return tuple(getattr(load(module), "FORGIVEN", ()))


def bad_build(name: str) -> BadBuild:
    """The bad build of this name, whichever ring has it; the modules that mention it are looked into first."""
    mentioning = sorted(modules(), key=lambda module: name not in (_FOLDER / f"{module}.py").read_text("utf-8"))
    for module in mentioning:
        for each in (*bad_builds(module), *forgiven(module)):
            if each.name == name:
                return each
    raise LookupError(f"no ring has a bad build {name!r}")
