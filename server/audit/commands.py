"""`python -m server audit`: seal what was written down, prove that nobody has changed it, and show it."""

import typer

from server.terminal import load_settings

app = typer.Typer(
    help="Who did what and saw whom, in a chain that shows every change.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _several() -> None:
    """A word for each thing, even while there is one."""


@app.command("seal")
def seal_now() -> None:
    """Seal now what waits for it; the role `watch` does so every second."""
    from server.audit.sealing import seal_all
    from server.errors import UnavailableError
    from server.store.postgres import open_pool
    from server.terminal import fail

    try:
        with open_pool(load_settings().database_url.get_secret_value()) as pool:
            links = seal_all(pool)
    except UnavailableError as e:
        fail(str(e))
    typer.echo(f"sealed: {links}")
