"""The command `python -m firmware_sims`. Nothing heavy is imported before a command runs."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Simulated meters that behave and misbehave.",
)


@app.callback()
def main() -> None:
    """Keeps `run` a command of its own while it is the only one."""


@app.command()
def run(
    meters: Annotated[Path, typer.Option(help="JSON file that says which meters are on the air.", exists=True)],
    disconnect_delay_s: Annotated[float, typer.Option(help="How long a disconnect takes; bluetoothd takes 2 s.")] = 0.2,
) -> None:
    """Put meters on the air of an org.bluez of our own, on the bus that DBUS_SYSTEM_BUS_ADDRESS names.

    JSON lines tell on standard output what the meters send, and on standard input what they measure.
    """
    from firmware_sims import log
    from firmware_sims.app import run as serve
    from firmware_sims.bluez_device import Timing
    from firmware_sims.settings import parse_meters
    from vitals.errors import MalformedError, UnavailableError

    log.configure()
    try:
        asyncio.run(serve(parse_meters(meters.read_bytes()), timing=Timing(disconnect_delay_s=disconnect_delay_s)))
    except (MalformedError, UnavailableError) as e:
        print(f"firmware_sims: {e}", file=sys.stderr)
        raise typer.Exit(1) from e
