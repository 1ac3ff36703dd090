"""Evidence of one patient for whoever does not believe us: what was sealed, the way from each row to an anchor, and a verifier.

The same database and the same question make the same files, byte for byte. The patient's own key goes with it, without which the
digests say nothing; whoever holds the folder holds the patient's data. Of other patients there are only hashes.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from server.audit import proofs, standalone
from server.audit.proofs import NOTHING, canonical, merkle_path
from server.store import audit_chain as store
from server.store.audit_chain import RAW, READINGS, Anchor, Link, Row, Seal
from server.store.postgres import Connection

CSV: Final = (
    *("measured_at", "kind", "systolic_mmhg", "diastolic_mmhg", "pulse_bpm", "glucose_mmol_l", "glucose_censored"),
    *("weight_kg", "spo2_percent", "temperature_celsius", "meal", "quality", "time_quality", "zone", "received_at"),
    *("meter_id", "gateway_id", "reading_id"),
)
"""What of a reading stands in `readings.csv`, for the eye; the proof is in `links.jsonl`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written: `links` of the patient, the last of them by its number; `unanchored` of them nobody outside knows yet."""

    links: int
    last_of_patient: int | None
    unanchored: int
    sha256: str


class NothingSealedError(Exception):
    """Nothing about this patient was sealed in that time, or the patient was erased."""


def export(
    conn: Connection, folder: Path, *, patient_id: int, since: datetime, until: datetime, tsa_ca: bytes | None = None
) -> Exported:
    """Write the evidence of what was sealed about a patient from `since` to before `until` into an empty `folder`.

    To be called first in its transaction. Raises `NothingSealedError`.
    """
    store.look_at_one_instant(conn)
    span = store.span_of(conn, since=since, until=until)
    links = [] if span is None else store.links_of_patient(conn, patient_id, first_seq=span[0], last_seq=span[1])
    secret = store.list_keys_of(conn, [patient_id]).get(patient_id)
    ledgers = store.list_ledgers(conn)
    if not links or (secret is None and any(ledgers[link.ledger].is_keyed for link in links)):
        raise NothingSealedError(f"nothing about patient {patient_id} was sealed then, or the patient was erased")
    proof = _Proof(conn, links)
    files: dict[str, bytes] = {
        "links.jsonl": _jsonl(proof.links()),
        "seals.jsonl": _jsonl(proof.seals()),
        "anchors.jsonl": _jsonl(proof.anchors()),
        "readings.csv": proof.readings_csv(),
        **proof.receipts(),
        **_programs(),
    }
    if tsa_ca is not None:
        files["tsa.pem"] = tsa_ca
    about = {
        "format": 1,
        "patient": patient_id,
        "since": since,
        "until": until,
        "first_of_patient": links[0].of_patient,
        "last_of_patient": links[-1].of_patient,
        "key": secret,
        "plain": [name for name, ledger in ledgers.items() if not ledger.is_keyed],
        "keys": {name: ledger.key_columns for name, ledger in ledgers.items()},
        "files": {name: sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    files["evidence.json"] = f"{canonical(about)}\n".encode()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return Exported(
        links=len(links),
        last_of_patient=links[-1].of_patient,
        unanchored=proof.unanchored,
        sha256=sha256(files["evidence.json"]).hexdigest(),
    )


def _programs() -> dict[str, bytes]:
    """The verifier, as it stands beside its formulas without us, and what to do with it."""
    script = Path(standalone.__file__).read_text(encoding="utf-8").replace("from server.audit.proofs", "from proofs")
    texts = {path.name: path.read_bytes() for path in (Path(__file__).parent / "readme").glob("README.*.md")}
    return {"verify.py": script.encode(), "proofs.py": Path(proofs.__file__).read_bytes(), **texts}


def _jsonl(lines: Iterator[Mapping[str, Any]]) -> bytes:
    return "".join(f"{canonical(line)}\n" for line in lines).encode()


class _Proof:
    """The way from a patient's links to the anchors."""

    def __init__(self, conn: Connection, links: Sequence[Link]) -> None:
        self._conn, self._links = conn, links
        self._shapes, self._ledgers = store.list_shapes(conn), store.list_ledgers(conn)
        self._seals = store.seals_of(conn, [link.seq for link in links])
        anchors = store.list_anchors(conn)
        self._anchors: dict[int, Anchor | None] = {
            number: next((each for each in anchors if each.first_seal <= number <= each.last_seal), None)
            for number in self._seals
        }
        shown = {each.anchor for each in self._anchors.values() if each is not None}
        self._receipts = [each for each in store.list_receipts(conn) if each.anchor in shown]
        self._readings = self._fetch_readings()

    @property
    def unanchored(self) -> int:
        return sum(self._anchors[self._seal_of(link).seal] is None for link in self._links)

    def links(self) -> Iterator[dict[str, Any]]:
        rows, newest = self._fetch_rows(), self._newest()
        hashes: dict[int, list[bytes]] = {}
        for link in self._links:
            seal = self._seal_of(link)
            if seal.seal not in hashes:
                hashes = {seal.seal: self._hashes_of(seal)}  # links come in order: one seal at a time
            held, place = hashes[seal.seal], link.seq - seal.first_seq
            said = {name: getattr(link, name) for name in ("seq", "ledger", "key", "patient_id", "of_patient", "shape")}
            name = (link.ledger, link.key)
            columns = self._shapes[link.shape][1]
            has_gone_on = link.seq < newest.get(name, 0)
            content = {"rows": self._members(link)} if link.members else {"row": _columns(rows.get(name), columns)}
            yield {
                **said,
                "digest": link.digest,
                "hash": link.hash,
                "previous": held[place],
                "seal": seal.seal,
                "path": merkle_path(held[1:], place),
                **({"has_gone_on": True} if has_gone_on else content),
            }

    def seals(self) -> Iterator[dict[str, Any]]:
        under: dict[int, list[Seal]] = {}
        for number, seal in self._seals.items():
            anchor = self._anchors[number]
            path: list[str] = []
            if anchor is not None:
                if anchor.anchor not in under:
                    span = {"first_seal": anchor.first_seal, "last_seal": anchor.last_seal}
                    under = {anchor.anchor: list(store.list_seals(self._conn, **span))}
                path = merkle_path([each.hash for each in under[anchor.anchor]], number - anchor.first_seal)
            before = store.list_seals(self._conn, first_seal=number - 1, last_seal=number - 1)
            said = {
                name: getattr(seal, name) for name in ("seal", "at", "first_seq", "last_seq", "root", "head", "hash")
            }
            yield {
                **said,
                "previous": before[0].hash if before else NOTHING,
                "anchor": anchor.anchor if anchor else None,
                "path": path,
            }

    def anchors(self) -> Iterator[dict[str, Any]]:
        shown = {each.anchor: each for each in self._anchors.values() if each is not None}
        for number, anchor in sorted(shown.items()):
            names = [_name_of(each.anchor, each.notary) for each in self._receipts if each.anchor == number]
            yield {"anchor": number, "statement": anchor.statement, "receipts": names}

    def receipts(self) -> dict[str, bytes]:
        return {_name_of(each.anchor, each.notary): each.receipt for each in self._receipts}

    def readings_csv(self) -> bytes:
        text = io.StringIO(newline="")
        written = csv.writer(text, lineterminator="\n")
        written.writerow(CSV)
        for link in self._links:
            for member in link.members or ():
                reading = self._readings[member][0] or {}
                shown = {name: canonical(reading.get(name)).strip('"') for name in CSV}
                written.writerow("" if shown[name] == "null" else shown[name] for name in CSV)
        return b"\xef\xbb\xbf" + text.getvalue().encode()

    def _seal_of(self, link: Link) -> Seal:
        return next(each for each in self._seals.values() if each.first_seq <= link.seq <= each.last_seq)

    def _hashes_of(self, seal: Seal) -> list[bytes]:
        """Those of its links, and before them the hash that the first one follows."""
        found = store.link_hashes(self._conn, first_seq=seal.first_seq - 1, last_seq=seal.last_seq)
        return found if seal.first_seq > 1 else [NOTHING, *found]

    def _fetch_rows(self) -> dict[tuple[str, str], Row]:
        found: dict[tuple[str, str], Row] = {}
        for name in sorted({link.ledger for link in self._links} - {READINGS}):
            keys = {link.key for link in self._links if link.ledger == name}
            rows = store.fetch_rows(self._conn, self._ledgers[name], keys)
            found |= {(name, key): row for key, row in rows.items()}
        return found

    def _newest(self) -> dict[tuple[str, str], int]:
        """Of rows that go on, up to which link what was sealed cannot be shown any more: only its digest is left."""
        waiting, found = store.waiting(self._conn), {}
        for name in sorted({link.ledger for link in self._links if self._ledgers[link.ledger].is_mutable}):
            keys = {link.key for link in self._links if link.ledger == name}
            for key, seq in store.newest_of(self._conn, name, keys).items():
                found[name, key] = seq + 1 if (name, key) in waiting else seq
        return found

    def _fetch_readings(self) -> dict[str, tuple[Row | None, Row | None]]:
        wanted = [
            (link.patient_id, each)
            for link in self._links
            if link.patient_id is not None
            for each in link.members or ()
        ]
        return store.fetch_readings(self._conn, wanted)

    def _members(self, link: Link) -> list[dict[str, Any]]:
        columns = self._shapes[link.shape][1]
        own = [name for name in columns if not name.startswith(RAW)]
        theirs = [name.removeprefix(RAW) for name in columns if name.startswith(RAW)]
        return [
            {
                "name": each,
                "reading": _columns(self._readings[each][0], own),
                "raw": _columns(self._readings[each][1], theirs),
            }
            for each in link.members or ()
        ]


def _columns(row: Row | None, columns: Sequence[str]) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in columns if row.get(name) is not None}


def _name_of(anchor: int, notary: str) -> str:
    return f"receipts/{anchor:08d}-{notary}.{'tsr' if notary == 'rfc3161' else 'txt'}"
