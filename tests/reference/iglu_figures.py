"""What iglu-python says of its own example data, as JSON. Run by the reference's interpreter, never by ours: it is GPL-2.

Usage: python iglu_figures.py FILE.csv
"""

import json
import sys
import warnings
from pathlib import Path

import iglu_python as iglu  # type: ignore[import-not-found, unused-ignore]
import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]
from iglu_python.utils import CGMS2DayByDay  # type: ignore[import-not-found, unused-ignore]

ONE = {
    "mean": iglu.mean_glu,
    "sd": iglu.sd_glu,
    "cv": iglu.cv_glu,
    "gmi": iglu.gmi,
    "gri": iglu.gri,
    "lbgi": iglu.lbgi,
    "hbgi": iglu.hbgi,
    "modd": iglu.modd,
    "mage": iglu.mage,
    "range": iglu.range_glu,
}


def figures(of_one: "pd.DataFrame") -> dict[str, object]:
    """Every figure of one subject, the readings themselves, and the grid onto which iglu interpolates them."""
    said: dict[str, object] = {name: float(ask(of_one.copy()).iloc[0, -1]) for name, ask in ONE.items()}
    for shares in (
        iglu.in_range_percent(of_one.copy(), target_ranges=[[70, 180], [70, 140]]),
        iglu.below_percent(of_one.copy(), targets_below=[54, 70]),
        iglu.above_percent(of_one.copy(), targets_above=[180, 250]),
    ):
        said |= {name: float(shares[name].iloc[0]) for name in shares.columns if name != "id"}
    episodes = iglu.episode_calculation(of_one.copy())
    said["episodes"] = {
        f"{row.type} {row.level}": int(row.total_episodes)
        for row in episodes.itertuples()
        if row.level in ("lv1", "lv2")
    }
    grid, _, minutes = CGMS2DayByDay(of_one.copy())
    said["grid"] = [None if value != value else float(value) for value in grid.flatten()]
    said["grid_minutes"] = int(minutes)
    return said


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    table = pd.read_csv(Path(sys.argv[1]))[["id", "time", "gl"]]
    table["time"] = pd.to_datetime(table["time"])
    print(json.dumps({subject: figures(of_one) for subject, of_one in table.groupby("id")}))
