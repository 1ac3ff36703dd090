"""`python -m server programme`: the figures of the whole house, for whoever runs it. Nobody can be made out in them."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.terminal import in_database, print_json

if TYPE_CHECKING:
    from server.programme.shapes import Figures

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def programme(
    days: Annotated[int, typer.Option(min=30, max=366, help="How many days are counted.")] = 90,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Control rate, adherence, alerts and what became of them, over the last days; small numbers of patients are left out."""
    from server.programme.report import CELL_MIN, DEFINITIONS, cells, figures_of

    figures = in_database(lambda conn: figures_of(conn, user_id=None, days=days, now=clock.now()))
    shown = cells(figures, is_house=True)
    if as_json:
        print_json(
            {
                "begin": figures.begin,
                "end": figures.end,
                "patients": figures.patients if figures.patients >= CELL_MIN else None,
                "cells": shown,
                "alerts": figures.alerts,
                "staff_alerts_a_patient_day": figures.alerts.staff_a_patient_day,
                "months": figures.months,
                "definitions": {name: said["en"] for name, said in DEFINITIONS.items()},
            }
        )
        return
    for name, cell in shown.items():
        said = "too few to show" if cell.is_small else "–" if cell.share is None else f"{cell.share:.1%}"
        typer.echo(f"{name.replace('_', ' '):<20} {said:>16}  {_of(cell.part, cell.whole)}")
    for line in _times(figures):
        typer.echo(line)
    typer.echo("What each figure means: docs/explanation/follow-up.md, or --json")


def _of(part: int | None, whole: int | None) -> str:
    return "" if part is None else f"{part} of {whole}"


def _times(figures: "Figures") -> list[str]:
    alerts = figures.alerts
    rate = "–" if alerts.staff_a_patient_day is None else f"{alerts.staff_a_patient_day:.3f}"
    median = "–" if alerts.median_s is None else str(timedelta(seconds=round(alerts.median_s)))
    return [
        f"{'staff alerts a patient-day':<20} {rate:>10}  published: 0.10",
        f"{'time to acknowledge':<20} {median:>16}  median of {alerts.acknowledged}",
    ]
