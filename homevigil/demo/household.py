"""What a kept folder remembers of the demo, so that `--data` goes on with the same people, logins and links.

Secrets of simulated people only; the file is for its owner alone all the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from homevigil.demo import population
from homevigil.demo.population import Doctor, Newcomer, Resident
from vitals.errors import UnavailableError

FILE: Final = "demo.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """Seed and size of the cohort, when its history ended, and the secrets that were shown. `links`: cuff → token."""

    seed: int
    patients: int
    days: int
    zone: str
    began_at: datetime
    doctor: Doctor
    links: Mapping[str, str] = field(default_factory=dict)

    def people(self) -> tuple[Newcomer, ...]:
        """The same people each time."""
        return population.newcomers(
            seed=self.seed, patients=self.patients, days=self.days, zone=self.zone, now=self.began_at
        )

    def residents(self, people: Sequence[Newcomer], owners: Mapping[str, int]) -> tuple[Resident, ...]:
        """They who moved in earlier; `owners` maps a meter to its patient."""
        return tuple(
            Resident(
                patient_id=owners[newcomer.meters[0].meter_id],
                name=newcomer.name,
                link=self.links[newcomer.meters[0].meter_id],
                person=newcomer.person,
                meters=newcomer.meters,
            )
            for newcomer in people
        )

    def keep(self, folder: Path, residents: Sequence[Resident]) -> None:
        """Write the file that `load` reads."""
        links = {resident.meters[0].meter_id: resident.link for resident in residents}
        said = {**asdict(self), "began_at": self.began_at.isoformat(), "links": links}
        path = folder / FILE
        path.touch(mode=0o600)
        path.write_text(json.dumps(said, ensure_ascii=False, indent=2))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises `UnavailableError` for a folder whose demo was stopped before everybody had moved in."""
        path = folder / FILE
        if not path.exists():
            raise UnavailableError(f"{folder} holds a demo that was stopped half-way; choose an empty folder")
        said = json.loads(path.read_text())
        return cls(**{**said, "began_at": datetime.fromisoformat(said["began_at"]), "doctor": Doctor(**said["doctor"])})
