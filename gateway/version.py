"""Which build this is; a reading carries it, so that a decoding mistake can be traced to the builds that made it."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed_version() -> str:
    """The version of the installed package, `0` when run from a bare checkout."""
    try:
        return version("homevigil")
    except PackageNotFoundError:
        return "0"
