"""How the functions that only other kernels call are compiled. The kernels that Python calls say it themselves.

Much of the time in which numba compiles a small function goes into what Python, or C, would need to call it; and what calls what
calls what is made into machine code once a level.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

_NO_WAY_IN: Final[dict[str, Any]] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of numba that its type stubs do not know."""


def inner(function: F) -> F:
    """Decorates a function that only kernels call: Python cannot, it ends with a fault of the process (a test wraps it).

    It is in the machine code of those that call it, and in no cache of its own.
    """
    compiled: F = njit(nogil=True, **_NO_WAY_IN)(function)
    return compiled


def inlined(function: F) -> F:
    """Decorates a function with one caller, of which it is a part for the compiler: a level less."""
    compiled: Any = njit(nogil=True, inline="always")(function)
    return cast(F, compiled)
