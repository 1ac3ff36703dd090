"""`python -m firmware_sims`."""

from firmware_sims.cli import app

app(prog_name="python -m firmware_sims")
