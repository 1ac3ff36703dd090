"""`homevigil rules backtest` and `export`: what rules would have done to the past. They change nothing and tell nobody."""

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.clock import now
from server.rules.commands import app
from server.terminal import fail, load_settings, print_json
from vitals.errors import MalformedError, UnavailableError

if TYPE_CHECKING:
    from server.rules.backtest import Alert, Burden, Replayed, Span
    from server.rules.rule import RuleSet
    from server.rules.windows import PatientHistory
    from server.store.backtests import Whom

__all__ = ["app"]

DIFFERING_SHOWN = 20
"""Patients and wishes that are printed; --json has them all."""

PatientsOption = Annotated[
    str, typer.Option("--patients", metavar="WHOM", help="all; numbers: 7,12,20-29; panel:LOGIN; icd10:I10-I15.")
]


@app.command()
def backtest(
    rules: Annotated[str, typer.Argument(metavar="RULES", help="A rule file, a folder of them, or `catalog`.")],
    patients: PatientsOption = "all",
    days: Annotated[int, typer.Option(min=1, max=3660, help="So many days, back from --until.")] = 90,
    until: Annotated[datetime | None, typer.Option(help="The end; now unless said.", formats=["%Y-%m-%d"])] = None,
    only: Annotated[str, typer.Option(metavar="IDS", help="Of RULES these alone, with commas.")] = "",
    compare: Annotated[str, typer.Option(metavar="OTHER", help="Other rules on the same past: who differs.")] = "",
    data: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="What `export` wrote, instead of the database.")
    ] = None,
    as_written: Annotated[bool, typer.Option("--as-written", help="Without the patients' own numbers.")] = False,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Every alert, as .csv or .parquet.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What RULES would have done: alerts, whom, the busiest day, staff minutes, who wants other numbers. Reads only."""
    from server.rules.backtest import Span

    if out is not None and out.suffix not in (".csv", ".parquet"):
        fail(f"{out}: alerts are written as .csv or .parquet", code=2)
    end = now() if until is None else until.replace(tzinfo=UTC)
    span = Span(since=end - timedelta(days=days), until=end)
    try:
        sets = [_rules(each, only) for each in (rules, compare) if each]
        replayed = _replay(sets, span, patients, data, as_written=as_written, is_quiet=as_json)
        if out is not None:
            _write([alert for each in replayed[0] for alert in each.alerts], out)
    except MalformedError as e:
        fail(e.message)
    except UnavailableError as e:
        fail(str(e))
    if as_json:
        print_json(_as_json(sets, replayed, span))
    else:
        _say(sets, replayed, span)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Where patients.parquet and readings.parquet go.")],
    patients: PatientsOption = "all",
    days: Annotated[int, typer.Option(min=1, max=36600, help="Readings of so many days.")] = 400,
) -> None:
    """Write patients' past to Parquet, without names, for back-tests elsewhere. Health data all the same: mind where it lies."""
    try:
        from server import cohort_files

        with _from_database(patients, now() - timedelta(days=days), with_absences=True) as (found, count):
            shown = _shown(found, count, is_quiet=False)
            people, readings = cohort_files.export(shown, folder)
    except MalformedError as e:
        fail(e.message)
    except UnavailableError as e:
        fail(str(e))
    typer.echo(f"{people} patients, {readings} readings: {folder}")


# -- whose past, by which rules ----------------------------------------------------------------------------------------


def _rules(said: str, only: str) -> "RuleSet":
    from server.rules.load import load_catalog, load_rules

    path = Path(said)
    if said != "catalog" and not path.exists():
        raise MalformedError("rules", f"{said}: no such file or folder, and not the word catalog", said)
    rules = load_catalog() if said == "catalog" else load_rules(path)
    return rules.only(tuple(only.split(","))) if only else rules


def _replay(
    sets: "Sequence[RuleSet]", span: "Span", patients: str, data: Path | None, *, as_written: bool, is_quiet: bool
) -> "list[list[Replayed]]":
    """By set of rules, then by patient."""
    from server.rules.backtest import loaded_from, replay
    from server.rules.engine import looks_at_absence

    since = min(loaded_from(rules, span) for rules in sets)
    with_absences = any(looks_at_absence(rules) for rules in sets)
    source = _from_files(data) if data is not None else _from_database(patients, since, with_absences=with_absences)
    replayed: list[list[Replayed]] = [[] for _ in sets]
    with source as (histories, count):
        for history in _shown(histories, count, is_quiet=is_quiet):
            for rules, found in zip(sets, replayed, strict=True):
                is_first = found is replayed[0]
                found.append(replay(history, rules, span, as_written=as_written, with_wishes=is_first))
    return replayed


@contextmanager
def _from_database(
    patients: str, since: datetime, *, with_absences: bool
) -> "Iterator[tuple[Iterator[PatientHistory], int]]":
    from server.store import backtests as store
    from server.store.migrate import pending
    from server.store.postgres import in_transaction, open_pool

    whom = _whom(patients)
    database_url = load_settings().database_url.get_secret_value()
    if behind := pending(database_url):
        fail(f"the database lacks {behind[0]}: `server migrate` brings it to this build")
    with open_pool(database_url) as pool:
        patient_ids = in_transaction(pool, lambda conn: store.patients(conn, whom))
        if not patient_ids:
            raise MalformedError("patients", f"{patients}: that is nobody", patients)
        yield store.histories(pool, patient_ids, since=since, with_absences=with_absences), len(patient_ids)


@contextmanager
def _from_files(folder: Path) -> "Iterator[tuple[Iterator[PatientHistory], int]]":
    from server import cohort_files

    yield cohort_files.load(folder), cohort_files.count(folder)


def _whom(said: str) -> "Whom":
    from server.rules.icd10 import range_of
    from server.store.backtests import Whom

    word, _, rest = said.partition(":")
    if said == "all":
        return Whom()
    if word == "panel" and rest:
        return Whom(login=rest)
    if word == "icd10":
        return Whom(condition=range_of(rest))
    numbers: list[int] = []
    for part in said.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            known = "all, numbers such as 7,12,20-29, panel:LOGIN, or icd10:I10-I15"
            raise MalformedError("patients", f"--patients {said}: say {known}", said)
        numbers += range(int(first), int(last or first) + 1)
    return Whom(patient_ids=tuple(numbers))


def _shown(histories: "Iterator[PatientHistory]", count: int, *, is_quiet: bool) -> "Iterator[PatientHistory]":
    """The same, with a bar on the terminal that tells how far it is."""
    if is_quiet or not sys.stderr.isatty():
        yield from histories
        return
    with typer.progressbar(histories, length=count, label="patients", file=sys.stderr) as bar:
        yield from bar


# -- what came of it ---------------------------------------------------------------------------------------------------


def _write(alerts: "Sequence[Alert]", file: Path) -> None:
    from server.rules.backtest import Alert

    if file.suffix == ".parquet":
        from server import cohort_files

        cohort_files.write_alerts(alerts, file)
        return
    with file.open("w", encoding="utf-8", newline="") as sink:
        rows = csv.DictWriter(sink, [field.name for field in fields(Alert)])
        rows.writeheader()
        rows.writerows({**asdict(alert), "is_for_doctor": int(alert.is_for_doctor)} for alert in alerts)


def _as_json(sets: "Sequence[RuleSet]", replayed: "Sequence[Sequence[Replayed]]", span: "Span") -> dict[str, object]:
    from server.rules.backtest import burdens, disagreements

    found: dict[str, object] = {
        "since": span.since,
        "until": span.until,
        "patients": len(replayed[0]),
        "readings": sum(each.readings for each in replayed[0]),
        "burdens": burdens(replayed[0], sets[0], span),
        "wishes": [wish for each in replayed[0] for wish in each.wishes],
        "note": "a simulation on past readings: nobody was treated by it",
    }
    if len(sets) > 1:
        found["compared"] = burdens(replayed[1], sets[1], span)
        found["disagreements"] = disagreements(*replayed)
    return found


def _say(sets: "Sequence[RuleSet]", replayed: "Sequence[Sequence[Replayed]]", span: "Span") -> None:
    from server.rules.backtest import burdens, disagreements

    readings = sum(each.readings for each in replayed[0])
    typer.echo(f"{len(replayed[0])} patients, {readings} readings, {span.since:%Y-%m-%d} to {span.until:%Y-%m-%d}")
    for number, (rules, found) in enumerate(zip(sets, replayed, strict=True)):
        typer.echo(f"\n{'the other rules' if number else 'these rules'}")
        _say_burdens(burdens(found, rules, span))
    if len(sets) > 1:
        differing = disagreements(*replayed)
        typer.echo(f"\n{len(differing)} patients differ: alerts by these rules, by the other")
        for each in differing[:DIFFERING_SHOWN]:
            typer.echo(f"  patient {each.patient_id:<8} {each.alerts:>4} {each.alerts_other:>4}")
    wishes = [wish for each in replayed[0] for wish in each.wishes]
    typer.echo(
        f"\n{len(wishes)} times a patient would be alerted often, and may want numbers of their own (a doctor decides)"
    )
    for wish in wishes[:DIFFERING_SHOWN]:
        numbers = ", ".join(f"{name} {value:g}" for name, value in wish.parameters.items())
        then = f"with {numbers}: {wish.alerts_then} on {wish.days_then:.0f} days" if numbers else "no step helps"
        typer.echo(
            f"  patient {wish.patient_id:<8} {wish.rule_id:<32} {wish.alerts:>3} on {wish.days:.0f} days; {then}"
        )
    typer.echo(
        "\nA simulation on past readings: nobody was treated by it, so it ranks rules and foretells work, no more."
    )


def _say_burdens(found: "Sequence[Burden]") -> None:
    typer.echo(
        f"{'rule':<34} {'alerts':>7} {'per 100/day':>11} {'patients':>8} {'busiest day':>17} {'minutes':>8} {'days':>8}"
    )
    for each in found:
        busiest = "-" if each.busiest_on is None else f"{each.busiest_on}: {each.busiest_alerts:>4}"
        typer.echo(
            f"{each.rule_id or 'all':<34} {each.alerts:>7} {each.per_100_patients_per_day:>11.2f} {each.patients_ever:>8}"
            f" {busiest:>17} {each.staff_minutes:>8.0f} {each.days_under_alert:>8.0f}"
        )
