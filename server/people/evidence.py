"""Which readings an alert rests on: the ids that its verdict names, wherever it names them."""

from collections.abc import Iterator
from uuid import UUID


def reading_ids(verdict: object) -> tuple[UUID, ...]:
    """The ids under every `reading_ids` of a verdict's JSON, in the verdict's order, each once."""
    return tuple(dict.fromkeys(UUID(text) for text in _named(verdict)))


def _named(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "reading_ids" and isinstance(value, list):
                yield from (text for text in value if isinstance(text, str))
            else:
                yield from _named(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value)
