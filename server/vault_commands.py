"""`python -m server vault`: the key to the patients' keys."""

from pathlib import Path
from typing import Annotated

import typer

from server.terminal import fail, in_database

app = typer.Typer(rich_markup_mode=None, help="The key to the patients' keys.", no_args_is_help=True)


@app.command()
def init(
    file: Annotated[
        Path | None,
        typer.Argument(help="Where to; else where HOMEVIGIL_SERVER_VAULT_KEY_FILE says.", show_default=False),
    ] = None,
) -> None:
    """Make the file with the first key, once. Keep a copy where neither the database nor its backups are."""
    from server.errors import VaultError
    from server.store import vault_keys

    try:
        path = file or vault_keys.key_file()
        vault_keys.write(path, vault_keys.make(), is_new=True)
    except (VaultError, OSError) as e:
        fail(str(e))
    typer.echo(f"written: {path}")
    typer.echo(
        "Whoever loses it has lost every patient's name. Print it or copy it now, away from the database's backups:"
    )
    typer.echo(f"  {path.read_text(encoding='ascii').strip()}")


@app.command()
def check() -> None:
    """Check that the key is there and opens what this database holds; exit 1 if it does not."""
    from server.store import vault

    in_database(vault.check)
    typer.echo("the key is there, and opens what the database holds")


@app.command()
def rotate() -> None:
    """Put a new key in the place of the old one: backups of the database from before cannot be opened with it any more.

    Broken off, it is said again. With the last copy of the old key goes whatever was erased since in those backups.
    """
    from server.store import vault, vault_keys

    path = in_database(lambda _: vault_keys.key_file())
    vault.begin_rotation(path)
    rewrapped = 0
    while step := in_database(vault.rewrap_some):
        rewrapped += step
    vault.end_rotation(path)
    typer.echo(f"{rewrapped} keys are wrapped anew; {path} holds the new key alone")
    typer.echo("Copy it to where the old one is kept, and destroy the old one's copies within 30 days.")
