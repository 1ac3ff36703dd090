"""Every `fix_<resource>.py` beside this file is a set of fixtures on a real resource."""

from pathlib import Path

pytest_plugins = sorted(path.stem for path in Path(__file__).parent.glob("fix_*.py"))
