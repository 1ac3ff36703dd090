"""What a campaign is to do: which rings, which trials of each, which bad builds. Drawn from its arguments alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from faults import rings
from faults.trial import BadBuild, Ring, Size

SOME_BAD_BUILDS = 2
"""How many bad builds the small size tries; which ones moves on with the seed, so that neighbouring seeds try them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Part `index` (from 1) of `of`: a long campaign in pieces, that may run on several machines."""

    index: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.of:
            raise ValueError(f"part {self.index}/{self.of}: write it like 2/4")

    def has(self, number: int) -> bool:
        return number % self.of == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line. `trials`, `trial`: instead of each ring's own number; `rings` empty: all."""

    seed: int = 1
    size: Size = Size.SMALL
    rings: tuple[str, ...] = ()
    trials: int | None = None
    trial: int | None = None
    bad: str | None = None
    bad_builds: Literal["all", "some", "none"] | None = None
    part: Part = Part()


@dataclass(frozen=True, slots=True, kw_only=True)
class RingPlan:
    """One ring's work. `why_not`: it cannot run here; then nothing of it is tried."""

    module: str
    ring: Ring
    numbers: tuple[int, ...]
    bad: str | None = None
    bad_builds: tuple[BadBuild, ...] = ()
    why_not: str | None = None


class UnknownNameError(Exception):
    """A ring or a bad build that nobody has; the message says which there are."""


def plan(wish: Wish) -> tuple[RingPlan, ...]:
    """The rings that were asked for, in order. Raises `UnknownNameError`."""
    known = {module.split("_")[0].upper(): module for module in rings.modules()}
    for name in wish.rings:
        if name.upper() not in known:
            raise UnknownNameError(f"no ring {name}; there are {', '.join(known)}")
    wanted = {name: module for name, module in known.items() if not wish.rings or name in map(str.upper, wish.rings)}
    loaded = {name: _load(name, module) for name, module in wanted.items()}
    chosen = _bad_builds(wish, loaded)
    return tuple(_planned(wish, wanted[name], each, chosen) for name, each in loaded.items())


def _load(name: str, module: str) -> Ring | str:
    """The ring, or why its module cannot even be imported here."""
    try:
        found = rings.ring(module)
    except ImportError as e:
        return f"{type(e).__name__}: {e}"
    assert found.name == name, f"{module} calls itself {found.name}"
    return found


def _planned(wish: Wish, module: str, found: Ring | str, chosen: Sequence[BadBuild]) -> RingPlan:
    if isinstance(found, str):
        name = module.split("_")[0].upper()
        absent = Ring(name=name, title=module, makes="", small=0, full=0, run=_cannot_run)
        return RingPlan(module=module, ring=absent, numbers=(), why_not=found)
    mine = tuple(each for each in chosen if each.ring == found.name)
    return RingPlan(
        module=module,
        ring=found,
        numbers=_numbers(wish, found),
        bad=wish.bad,
        bad_builds=() if wish.trial is not None else mine,
        why_not=found.why_not(),
    )


def _numbers(wish: Wish, ring: Ring) -> tuple[int, ...]:
    if wish.trial is not None:
        return (wish.trial,)
    own = ring.small if wish.size is Size.SMALL else ring.full
    total = own if wish.trials is None else wish.trials
    return tuple(number for number in range(total) if wish.part.has(number))


def _bad_builds(wish: Wish, loaded: dict[str, Ring | str]) -> list[BadBuild]:
    """Those to try of the rings that can run here."""
    able = [name for name, ring in loaded.items() if isinstance(ring, Ring) and ring.why_not() is None]
    modules = [module for module in rings.modules() if module.split("_")[0].upper() in able]
    known = [each for module in modules for each in rings.bad_builds(module)]
    names = [each.name for each in known]
    assert len(set(names)) == len(names), f"two bad builds share a name: {sorted(names)}"
    if wish.bad is not None and wish.bad not in [*names, *(each.name for m in modules for each in rings.forgiven(m))]:
        raise UnknownNameError(f"no bad build {wish.bad} in these rings; there are {', '.join(sorted(names))}")
    how_many = wish.bad_builds or ("all" if wish.size is Size.FULL else "some")
    if how_many == "none" or wish.bad is not None:
        return []
    if how_many == "some":
        first = wish.seed * SOME_BAD_BUILDS
        known = [known[(first + at) % len(known)] for at in range(min(SOME_BAD_BUILDS, len(known)))]
    return [each for at, each in enumerate(known) if wish.part.has(at)]


def _cannot_run(_: object) -> object:
    raise AssertionError("a ring that cannot be imported has no trials")
