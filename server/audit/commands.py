"""`python -m server audit`: seal what was written down, prove that nobody has changed it, and show it."""

from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.terminal import fail, in_database, load_settings, note_deed, operator, print_json

if TYPE_CHECKING:
    from server.audit.notaries import Notary
    from server.audit.verifying import Verified
    from server.config import Settings
    from server.store.audit import Entry
    from server.store.postgres import Connection

app = typer.Typer(
    help="Who did what and saw whom, in a chain that shows every change.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DAYS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
SinceOption = Annotated[datetime | None, typer.Option(formats=DAYS, help="From this instant on, UTC.")]
UntilOption = Annotated[datetime | None, typer.Option(formats=DAYS, help="Before this instant, UTC.")]
PatientOption = Annotated[int | None, typer.Option(min=1, metavar="NUMBER", help="About this patient.")]


@app.command("seal")
def seal_now() -> None:
    """Seal now what waits for it; the role `watch` does so every second."""
    from server.audit.sealing import seal_all
    from server.errors import UnavailableError
    from server.store.postgres import open_pool

    try:
        with open_pool(load_settings().database_url.get_secret_value()) as pool:
            links = seal_all(pool)
    except UnavailableError as e:
        fail(str(e))
    typer.echo(f"sealed: {links}")


@app.command("anchor")
def anchor_now() -> None:
    """Show now to somebody outside how far the chain has come; the role `watch` does so every half hour."""
    from server.audit.anchoring import make_anchor, notaries_of, show
    from server.audit.sealing import seal_all
    from server.errors import UnavailableError
    from server.store.postgres import in_transaction, open_pool

    settings = load_settings()
    try:
        notaries = notaries_of(settings)
        if not notaries:
            fail("nobody to show it to: set HOMEVIGIL_SERVER_ANCHOR_FOLDER or HOMEVIGIL_SERVER_TSA_URL", code=2)
        with open_pool(settings.database_url.get_secret_value()) as pool:
            seal_all(pool)
            anchor = in_transaction(pool, lambda conn: make_anchor(conn, now=clock.now()))
            shown = show(pool, notaries)
    except UnavailableError as e:
        fail(str(e))
    typer.echo("nothing new was sealed" if anchor is None else anchor.statement)
    typer.echo(f"receipts: {shown}")


@app.command("verify")
def verify_all(
    since: SinceOption = None,
    anchors: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Anchors as they are kept outside; else those of the settings.", file_okay=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look whether everything is as it was sealed; exit 1, and say what was done to what, if it is not.

    Without --since, all of it, and what was written past the product, too.
    """
    from server.audit.verifying import verify

    settings, began = load_settings(), monotonic()
    outside = _outside(anchors, settings)
    found = in_database(lambda conn: verify(conn, since=_utc(since), outside=outside, notaries=_notaries(settings)))
    if as_json:
        print_json({**_shown(found), "seconds": round(monotonic() - began, 3)})
    else:
        _say(found)
    if not found.is_whole:
        raise typer.Exit(1)


@app.command("export")
def export_evidence(
    patient: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="Whose evidence.")],
    since: Annotated[datetime, typer.Option("--from", formats=DAYS, help="Sealed from this instant on, UTC.")],
    until: Annotated[datetime, typer.Option("--to", formats=DAYS, help="Sealed before this instant, UTC.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder that is empty or not there.", file_okay=False)],
    as_json: JsonOption = False,
) -> None:
    """Evidence of one patient, which proves itself without us: rows, the way to the anchors, time stamps, a verifier, a README.

    It holds the patient's data. That it was made is written down.
    """
    from server.audit.evidence import NothingSealedError, export

    settings = load_settings()
    if out.exists() and any(out.iterdir()):
        fail(f"{out} is not empty: name another folder", code=2)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca = Path(settings.tsa_ca_file).read_bytes() if settings.tsa_ca_file else None
    begin, end = since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)
    try:
        made = in_database(lambda conn: export(conn, out, patient_id=patient, since=begin, until=end, tsa_ca=ca))
    except NothingSealedError as e:
        fail(str(e))

    def note_made(conn: "Connection") -> None:
        note_deed(
            conn,
            "evidence.export",
            patient_id=patient,
            links=made.links,
            last_of_patient=made.last_of_patient,
            sha256=made.sha256,
        )

    in_database(note_made)
    if as_json:
        print_json(made)
        return
    typer.echo(f"{out}: {made.links} links of patient {patient}; check it with: python3 {out}/verify.py")
    if made.unanchored:
        typer.echo(f"{made.unanchored} of them are not anchored yet: export again in half an hour", err=True)


@app.command("list")
def list_entries(
    patient: PatientOption = None,
    user: Annotated[int | None, typer.Option(min=1, metavar="NUMBER", help="By this account.")] = None,
    act: Annotated[str | None, typer.Option(metavar="ACT", help="An act (record.read), or an area (record).")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest first.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """Who did what, and who looked at whose record: the newest first."""
    from server.store.audit import Asked, note
    from server.store.audit import list_entries as find

    asked = Asked(
        patient_id=patient,
        actor=None if user is None else f"user:{user}",
        act=act,
        since=_utc(since),
        until=_utc(until),
    )

    def work(conn: "Connection") -> "list[Entry]":
        found = find(conn, asked, limit=limit)
        note(
            conn, actor=operator(), act="audit.read", at=clock.now(), patient_id=patient, detail={"entries": len(found)}
        )
        return list(found)

    found = in_database(work)
    if as_json:
        print_json(found)
        return
    for each in found:
        whose = "-" if each.patient_id is None else str(each.patient_id)
        who = each.actor if each.who is None else f"{each.actor} {each.who}"
        at = each.at.isoformat(timespec="seconds")
        typer.echo(f"{each.entry_id:>8} {at} {who:<24} {each.act:<22} {whose:>7} {each.subject}".rstrip())


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)


def _notaries(settings: "Settings") -> "tuple[Notary, ...]":
    from server.audit.anchoring import notaries_of
    from server.errors import UnavailableError

    try:
        return notaries_of(settings)
    except UnavailableError as e:
        fail(str(e))


def _outside(folder: Path | None, settings: "Settings") -> tuple[str, ...]:
    from server.audit.notaries import statements_in
    from server.errors import UnavailableError

    where = folder or (Path(settings.anchor_folder) if settings.anchor_folder else None)
    try:
        return () if where is None else tuple(statements_in(where))
    except UnavailableError as e:
        fail(str(e))


def _shown(found: "Verified") -> dict[str, object]:
    names = ("links", "rows", "seals", "anchors", "erased", "waiting", "anchored_seq", "is_whole")
    return {**{name: getattr(found, name) for name in names}, "findings": found.findings}


def _say(found: "Verified") -> None:
    for each in found.findings:
        typer.echo(f"{each.kind.upper()}: {each.says}")
    typer.echo(
        f"{found.rows} rows in {found.links} links, {found.seals} seals, {found.anchors} anchors;"
        f" {found.erased} links are of patients who were erased, {found.waiting} rows wait to be sealed"
    )
    if found.is_whole:
        typer.echo("everything is as it was sealed")
    typer.echo(
        f"known outside up to link {found.anchored_seq}"
        if found.anchored_seq
        else "nobody outside knows this chain: its end could be cut off, or all of it written anew, unseen"
    )
