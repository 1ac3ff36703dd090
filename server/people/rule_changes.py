"""A rule's text place by place, and what is different between two versions of it. Pure; it judges nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

APART: Final = frozenset({"id", "version"})
"""What names a version and says nothing of what it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the rule says at one place, such as `when › any_of › 1 › above`. None: nothing."""

    path: str
    before: str | None
    after: str | None

    @property
    def is_changed(self) -> bool:
        return self.before != self.after


def places(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> tuple[Place, ...]:
    """Every place of `after`, and those that only `before` has, in the order of the text."""
    old, new = dict(_flat(before or {})), dict(_flat(after))
    return tuple(Place(path=path, before=old.get(path), after=new.get(path)) for path in (new | old))


def _flat(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in written.items():
        if key not in APART:
            yield from _at(key, value)


def _at(path: str, value: object) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, part in value.items():
                yield from _at(f"{path} › {key}", part)
        case list() if all(not isinstance(part, dict | list) for part in value):
            yield path, ", ".join(map(_plain, value))
        case list():
            for number, part in enumerate(value, start=1):
                yield from _at(f"{path} › {number}", part)
        case _:
            yield path, _plain(value)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
