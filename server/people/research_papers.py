"""What lies beside the tables of a research export: what they are, whom to delete, and the manifest over all."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from server.people.research_columns import TABLES
from server.store.research import Project

README: Final = Path(__file__).parent / "research_readme.md"


def write(
    folder: Path,
    project: Project,
    facts: Mapping[str, int],
    hidden: Mapping[str, Any],
    to_delete: Sequence[str],
    *,
    now: datetime,
) -> bytes:
    """Explain the tables that lie in `folder`, and close it with a manifest; the manifest's SHA-256."""
    readme = README.read_text(encoding="utf-8").format(
        name=project.name, purpose=project.purpose, at_least=hidden["at_least"]
    )
    (folder / "README.md").write_text(readme, encoding="utf-8")
    (folder / "dictionary.csv").write_text(dictionary(), encoding="utf-8")
    (folder / "delete.csv").write_text("\n".join(["patient", *sorted(to_delete)]) + "\n", encoding="utf-8")
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    manifest = {"project": project.name, "month": f"{now:%Y-%m}", **facts, "hidden": hidden, "sha256": files}
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).digest()


def dictionary() -> str:
    """Every column of every table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "column", "type", "unit", "en", "zh", "source"])
    for table, columns in TABLES.items():
        writer.writerows([table, each.name, each.kind, each.unit, each.en, each.zh, each.source] for each in columns)
    return text.getvalue()
