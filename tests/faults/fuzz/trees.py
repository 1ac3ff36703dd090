"""Changing JSON as a tree: bytes changed at random hardly ever get past a strict reader's first look."""

import json
import random
from collections.abc import Callable
from typing import Any, Final

_ODD: Final = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    2**53,
    2**53 + 1,
    10**25,
    "",
    "x" * 300,
    "\0",
    "\ud800",
    [],
    {},
    [[]],
)
_UNFIT: Final = ("NaN", "-Infinity", "1e999", "007", "'x'", '"\\u12"', '"\xff', "[" * 40, "9" * 5000, "\ufeff")
"""What no JSON may hold; some lenient reader takes each of these."""
_MARK: Final = "\u2620 unfit"


def mutated(data: bytes, max_size: int, seed: int, otherwise: Callable[[bytes, int], bytes]) -> bytes:
    """`data` with one thing in its tree changed; every third time, and where there is no tree, what `otherwise` makes of it."""
    die = random.Random(seed)
    tree = _tree(data) if die.random() < 0.66 else None
    if tree is None:
        return otherwise(data, max_size)
    text = json.dumps(_changed(tree, die), separators=(",", ":"))
    unfit = die.choice(_UNFIT)
    return text.replace(json.dumps(_MARK), unfit).encode("utf-8", "surrogatepass")[:max_size]


def _tree(data: bytes) -> Any:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _changed(tree: Any, die: random.Random) -> Any:
    """Walk down at random and change what is met there."""
    node = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return tree
        key = die.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and die.random() < 0.8:
            node = node[key]
            continue
        _change(node, key, die)
        return tree


def _change(node: Any, key: Any, die: random.Random) -> None:
    match die.randrange(6):
        case 0:
            del node[key]
        case 1:
            node[key] = _MARK
        case 2 if isinstance(node, dict):
            node[die.choice(("seq", "v", "kind", "reading", "unknown"))] = node[key]
        case 2:
            node.append(node[key])
        case 3 if isinstance(node[key], int | float):
            node[key] += die.choice((-1, 1, 1000, -1000))
        case 4 if isinstance(node[key], str) and node[key]:
            at = die.randrange(len(node[key]))
            node[key] = node[key][:at] + chr(die.choice((0, 32, 48, 97, 0x2028, 0x1F600))) + node[key][at + 1 :]
        case _:
            node[key] = die.choice(_ODD)
