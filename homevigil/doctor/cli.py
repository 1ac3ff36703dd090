"""`homevigil doctor`: what is wrong on this machine, and what to do about each of it. It looks and changes nothing.

Each check imports what it needs when it runs, because a box in the home has no PostgreSQL driver and a server no D-Bus.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Final

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

MARKS: Final = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "not configured": "–   "}


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False) -> None:
    """Check Python, clock, disk, database, broker, outbox and bus, as far as the settings in the environment name them.

    Exit code 1 if something fails. It connects to the broker under the account in the settings for a moment; a gateway or a
    server that runs under the same account reconnects by itself, and no reading is lost.
    """
    from homevigil.doctor.checks import Finding, examine

    findings: Sequence[Finding] = examine()
    is_well = all(finding.state != "fail" for finding in findings)
    if as_json:
        print(json.dumps({"ok": is_well, "checks": [asdict(finding) for finding in findings]}, ensure_ascii=False))
    else:
        for finding in findings:
            print(f"{MARKS[finding.state]}  {finding.name:<18} {finding.says}")
            if finding.do:
                print(f"{'':<25}{finding.do}")
    raise typer.Exit(0 if is_well else 1)
