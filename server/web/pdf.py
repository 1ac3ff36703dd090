"""A page as PDF, for paper and for a patient's file: WeasyPrint, with its fonts embedded. The one module that imports it.

Nothing is loaded from anywhere: the page comes with all that it needs. The same page makes the same bytes. Where WeasyPrint is
not installed (extra `reports`) or its libraries are missing (Debian: libpango-1.0-0, libpangoft2-1.0-0), there is no PDF, and
printing from the browser remains.
"""

import logging
import re
import threading
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from vitals.errors import UnavailableError

STATIC: Final = Path(__file__).parent / "static"
TURN_S: Final = 20.0
"""Pages are made one at a time, each takes a processor for half a second; who has waited this long is asked to come again."""

_TURN: Final = threading.Lock()
_PICTURE: Final = re.compile(r"<svg\b[^>]*>")


class NoFontError(UnavailableError):
    """No installed font has a character of the page: a page with boxes in the place of words is none."""


@cache
def is_available() -> bool:
    """Whether this machine can make a PDF at all."""
    try:
        import weasyprint  # noqa: F401 - a second to load, and only for who prints
    except (ImportError, OSError):
        return False
    return True


def print_page(html: str) -> bytes:
    """The PDF of a page that carries no style of its own: `report.css` and `charts.css` are laid on it.

    Raises `NoFontError`; `UnavailableError` when too many others wait.
    """
    assert is_available(), "the caller has asked"
    if not _TURN.acquire(timeout=TURN_S):
        raise UnavailableError("others are printing; try again shortly")
    try:
        return _print(html)
    finally:
        _TURN.release()


def _print(html: str) -> bytes:
    from weasyprint import CSS, HTML

    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)  # it would name characters of the page
    styled = _PICTURE.sub(lambda found: f"{found[0]}<style>{_style('charts.css')}</style>", html)
    document = HTML(string=styled, url_fetcher=_refuse).render(
        stylesheets=[CSS(string=_style(name), url_fetcher=_refuse) for name in ("report.css", "charts.css")],
        pdf_identifier=sha256(html.encode()).digest()[:16],
    )
    made: bytes = document.write_pdf()
    if any(font.missing for font in document.fonts.values()):
        raise NoFontError(
            "no font here has every character of the page; install fonts-noto-cjk, or print from the browser"
        )
    return made


@cache
def _style(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _refuse(url: str, *_: Any, **__: Any) -> Any:
    raise ValueError("a page for paper loads nothing")
