"""An invitation as a QR: in a terminal, and as a picture to be sent or printed. The only module that imports segno."""

import io
from pathlib import Path

import segno


def show(text: str) -> str:
    """For a terminal: half blocks, dark on light whatever the terminal's colours are."""
    drawn = io.StringIO()
    segno.make(text, error="m").terminal(out=drawn, compact=True)
    return drawn.getvalue()


def svg(text: str) -> str:
    """For a page: black on white, without a size of its own."""
    return str(segno.make(text, error="m").svg_inline(omitsize=True, border=4, svgclass="qr", light="#fff"))


def write_svg(text: str, path: Path) -> None:
    """Black on white; it holds the code, so it is for fifteen minutes and for one person."""
    segno.make(text, error="m").save(str(path), kind="svg", scale=8)
