"""`homevigil demo`: the whole line on one machine, with simulated patients and meters on real parts. Not for care.

The command line alone; what it starts is in `line`, who it makes up in `population`, what it shows in `show`. The
heavy imports wait until the command really runs.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def demo(
    until_alert: Annotated[
        bool, typer.Option("--until-alert", help="End when one freshly measured alert has reached doctor and patient.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --until-alert: print one JSON object on stdout, all else on stderr.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder; its name is printed.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Keep the data in this folder, and go on with what is in it.")
    ] = None,
    patients: Annotated[int, typer.Option(min=1, max=200, help="How many simulated patients.")] = 24,
    days: Annotated[int, typer.Option(min=4, max=365, help="Days of history for each.")] = 90,
    seed: Annotated[int, typer.Option(help="The same seed makes the same people.")] = 1,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between live readings.")] = 5.0,
    web_port: Annotated[int, typer.Option(min=1, max=65535, help="A free one is taken where this is not free.")] = 8080,
    broker: Annotated[
        Literal["auto", "mosquitto", "rumqttd"], typer.Option(help="auto: mosquitto where it is installed.")
    ] = "auto",
    radio: Annotated[
        Literal["auto", "bus", "air"],
        typer.Option(
            help="bus: unmodified bleak over a private D-Bus. air: in memory. auto: bus where dbus-daemon is."
        ),
    ] = "auto",
) -> None:
    """Start everything, with made-up patients and meters, and let readings travel from the radio to the doctor's list."""
    if as_json and not until_alert:
        raise typer.BadParameter("--json goes with --until-alert")
    from homevigil.demo.run import Wishes, run

    wishes = Wishes(
        until_alert=until_alert,
        as_json=as_json,
        keep=keep,
        data=data,
        patients=patients,
        days=days,
        seed=seed,
        every_s=every,
        web_port=web_port,
        broker=broker,
        radio=radio,
    )
    raise typer.Exit(run(wishes))
