"""`python -m server recompute`: every alert of the last days computed anew, by other means, and compared with what is stored.

It changes no alert and tells no patient. Over everybody it counts as a run: what differs is kept and is an alarm.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.terminal import fail, load_settings, print_json

if TYPE_CHECKING:
    from server.store.postgres import Pool
    from server.store.recompute import Difference, Found

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def recompute(
    days: Annotated[int, typer.Option(min=1, max=400, help="How many days back alerts are looked at.")] = 35,
    patient: Annotated[
        int | None, typer.Option(metavar="ID", help="This patient alone, and nothing is recorded.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compute every alert of the last days anew and compare with what is stored. 0 without a difference, else 1."""
    from server.errors import SchemaError, UnavailableError
    from server.store.migrate import pending
    from server.store.postgres import open_pool

    database_url = load_settings().database_url.get_secret_value()
    try:
        if behind := pending(database_url):
            fail(f"the database lacks {behind[0]}: `server migrate` brings it to this build")
        with open_pool(database_url) as pool:
            found = _found(pool, days, patient)
    except (SchemaError, UnavailableError) as e:
        fail(str(e))
    if as_json:
        print_json(found)
    else:
        _say(found)
    if found.differences:
        raise typer.Exit(1)


def _found(pool: "Pool", days: int, patient_id: int | None) -> "Found":
    import threading

    from server.store.enrolment import has_patient
    from server.store.postgres import in_transaction
    from server.watch import recompute as again

    stop = threading.Event()
    if patient_id is not None:
        if not in_transaction(pool, lambda conn: has_patient(conn, patient_id)):
            fail(f"there is no patient {patient_id}")
        return again.recompute_one(pool, patient_id, days=days, stop=stop)
    try:
        found = again.recompute(pool, stop, days=days)
    except again.BusyError as e:
        fail(f"{e}; wait for its end, or ask for one patient")
    assert found is not None, "nobody else can tell it to stop"
    return found


def _say(found: "Found") -> None:
    for each in found.differences:
        typer.echo(sentence(each))
    if found.waiting:
        typer.echo(f"{found.waiting} patients were being judged all the while and are not compared", err=True)
    typer.echo(f"{found.patients} patients, {found.alerts} alerts, {len(found.differences)} differences")


def sentence(difference: "Difference") -> str:
    """One difference in words: whose, which rule, what; no name and no value."""
    computed, stored = difference.computed or {}, difference.stored or {}
    whose = f"patient {difference.patient_id}"
    match difference.kind:
        case "not_judged":
            return f"{whose}: something is due and nobody judges it"
        case "not_computed":
            return f"{whose}: the alerts could not be computed; see the log"
        case "missing":
            what = f"an alert {_when(computed)} is not stored"
        case "extra":
            what = f"an alert {_when(stored)} is stored that the readings do not make"
        case "other_thresholds":
            what = (
                f"the alert {_when(stored)} was judged by thresholds {stored['threshold_version']}, not the patient's"
            )
        case "not_pushed":
            what = f"of the alert {_when(computed)} nobody told the {' and the '.join(computed['untold'])}"
        case _:
            what = f"the alert {_when(stored)} differs: {'; '.join(_unequal(computed, stored))}"
    return f"{whose}, {difference.rule_id}: {what}"


def _when(alert: "dict[str, Any] | Any") -> str:
    return (
        f"of {alert['first_day']}"
        if alert["first_day"] == alert["last_day"]
        else (f"from {alert['first_day']} to {alert['last_day']}")
    )


def _unequal(computed: Any, stored: Any) -> list[str]:
    """What is not the same, each with what is stored and what was computed; of readings only how many."""
    said = []
    for name in ("state", "priority", "first_day", "last_day", "started_at", "opened_at", "resolved_at"):
        if computed[name] != stored[name]:
            said.append(f"{name.replace('_', ' ')} is {stored[name]}, should be {computed[name]}")
    if computed["reading_ids"] != stored["reading_ids"]:
        said.append(f"rests on {len(stored['reading_ids'])} readings, should on {len(computed['reading_ids'])} others")
    return said
