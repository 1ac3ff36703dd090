"""`homevigil rules`: try rule scenarios, print the schema of rule files, list the catalog.

Imports the engine only inside a command, so that `--help` is there at once.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitals.errors import MalformedError

if TYPE_CHECKING:
    from server.rules.expectations import Outcome

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Rules that a clinician can read: try their scenarios, print their schema, list them.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command(name="test")
def run_scenarios(
    path: Annotated[Path, typer.Argument(exists=True, help="A scenario file, a rule file, or a folder.")],
    as_json: AsJson = False,
) -> None:
    """Play every scenario at PATH through the real judge. Exit code 0 if all pass, else 1."""
    from server.rules.expectations import run_file, scenario_files

    try:
        outcomes = [outcome for file in scenario_files(path) for outcome in run_file(file)]
    except MalformedError as e:
        _say_malformed(e, as_json)
        raise typer.Exit(1) from e
    if as_json:
        typer.echo(json.dumps(_as_json(outcomes), ensure_ascii=False, indent=2))
    else:
        _print(outcomes)
    raise typer.Exit(0 if all(outcome.passed for outcome in outcomes) else 1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of rule files."""
    from server.rules.load import schema as rule_schema

    typer.echo(json.dumps(rule_schema(), indent=2))


@app.command(name="list")
def list_rules(
    path: Annotated[
        Path | None, typer.Argument(exists=True, help="A rule file or a folder; default: the catalog.")
    ] = None,
    as_json: AsJson = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/reference/catalog.md of a folder of rule files.")
    ] = False,
) -> None:
    """List rules with their sources."""
    from server.rules.load import CATALOG, load_catalog, load_rules

    try:
        if markdown:
            from server.rules.catalog_page import page_of

            typer.echo(page_of(CATALOG if path is None else path), nl=False)
            return
        rules = load_catalog() if path is None else load_rules(path)
    except MalformedError as e:
        _say_malformed(e, as_json)
        raise typer.Exit(1) from e
    if as_json:
        typer.echo(
            json.dumps(
                [rule.model_dump(mode="json", by_alias=True) for rule in rules.rules], ensure_ascii=False, indent=2
            )
        )
        return
    for rule in rules.rules:
        typer.echo(f"{rule.id}  v{rule.version}  {rule.priority}  tells {', '.join(rule.tell) or 'nobody'}")
        typer.echo(f"  {rule.title['en']} · {rule.title['zh']}\n  source: {rule.source}")


def _print(outcomes: "list[Outcome]") -> None:
    for file in dict.fromkeys(outcome.file for outcome in outcomes):
        here = [outcome for outcome in outcomes if outcome.file == file]
        failed = [outcome for outcome in here if not outcome.passed]
        counts = f"{len(here)} cases  {len(here) - len(failed)} ok" + (f"  {len(failed)} FAILED" if failed else "")
        rules = dict.fromkeys(rule_id for outcome in here for rule_id in outcome.rules)
        typer.echo(f"{file}  {', '.join(rules)}  {counts}")
        for outcome in failed:
            typer.echo(f"  {outcome.file.name} › {json.dumps(outcome.name, ensure_ascii=False)}")
            for problem in outcome.problems:
                typer.echo(f"    {problem}")
    passed = sum(outcome.passed for outcome in outcomes)
    typer.echo(f"{len(outcomes)} cases: {passed} passed, {len(outcomes) - passed} failed")


def _as_json(outcomes: "list[Outcome]") -> dict[str, Any]:
    passed = sum(outcome.passed for outcome in outcomes)
    return {
        "cases": len(outcomes),
        "passed": passed,
        "failed": len(outcomes) - passed,
        "results": [
            {
                "file": str(outcome.file),
                "rules": list(outcome.rules),
                "test": outcome.name,
                "passed": outcome.passed,
                "problems": list(outcome.problems),
            }
            for outcome in outcomes
        ],
    }


def _say_malformed(error: MalformedError, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": error.message, "reason": error.reason}, ensure_ascii=False))
    typer.echo(error.message, err=True)
