"""Checks an evidence export with Python alone, without HomeVigil and without its database: `python3 verify.py [FOLDER]`.

Time stamps (RFC 3161) are checked by `openssl`, if it is there; anchors that somebody else kept, by `--anchors FILE`. Exit code
0: everything is as it was sealed, and somebody outside vouches for it. 1: something is not, and it is said what. 2: everything
fits together, but nobody outside vouches for it here: what came with the export (`tsa.pem`) vouches for nothing, because whoever
makes up an export makes up that, too. Copied into each export with `proofs.py` beside it.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from server.audit.proofs import (
    Finding,
    canonical,
    digest_readings,
    digest_row,
    hash_link,
    hash_seal,
    name_swapped,
    root_by_path,
)

READINGS: Final = "reading"


@dataclass(frozen=True)
class Link:
    """A link as the export tells it, with what is needed to follow it to its seal."""

    seq: int
    ledger: str
    key: str
    patient_id: int | None
    of_patient: int | None
    shape: int
    digest: bytes
    hash: bytes
    previous: bytes
    seal: int
    path: tuple[str, ...]
    row: Any
    rows: Any
    has_gone_on: bool

    @property
    def hides(self) -> bool:
        """Whether it shows content and says that there is none to be checked. Readings never go on."""
        return self.has_gone_on and (self.ledger == READINGS or self.row is not None or self.rows is not None)


@dataclass(frozen=True)
class Seal:
    seal: int
    at: datetime
    first_seq: int
    last_seq: int
    root: bytes
    head: bytes
    hash: bytes
    previous: bytes
    anchor: int | None
    path: tuple[str, ...]


def main() -> int:
    words = argparse.ArgumentParser(description="Checks an evidence export of HomeVigil.")
    words.add_argument("folder", nargs="?", default=str(Path(sys.argv[0]).resolve().parent))
    words.add_argument("--anchors", action="append", default=[], help="a file of anchors that somebody outside kept")
    words.add_argument(
        "--ca", help="PEM certificates that you trust for time stamps; those of the export prove nothing"
    )
    asked = words.parse_args()
    outside = [line for name in asked.anchors for line in Path(name).read_text("utf-8").splitlines() if line]
    try:
        check = Check(Path(asked.folder), outside, Path(asked.ca) if asked.ca else None)
    except SaidTwiceError as e:
        print(f"CHANGED: {e}")
        return 1
    for finding in (findings := check.look()):
        print(f"{finding.kind.upper()}: {finding.says}")
    for said in check.said:
        print(said)
    if findings:
        return 1
    print("everything is as it was sealed" + ("" if check.is_vouched else ", but nobody outside vouches for it here"))
    return 0 if check.is_vouched else 2


class SaidTwiceError(Exception):
    """An object says a name twice: readers differ in which of the two they show, so nothing is proved of either."""


class Check:
    """One export. `said`: what else is worth knowing."""

    def __init__(self, folder: Path, outside: list[str], ca: Path | None) -> None:
        self.said: list[str] = []
        self._folder, self._outside, self._ca = folder, set(outside), ca
        self._about = _read((folder / "evidence.json").read_text("utf-8"))
        self._key = bytes.fromhex(self._about["key"]) if self._about["key"] else None
        self._links = [_link(each) for each in _lines(folder / "links.jsonl")]
        self._seals = {each["seal"]: _seal(each) for each in _lines(folder / "seals.jsonl")}
        self._anchors = {each["anchor"]: each for each in _lines(folder / "anchors.jsonl")}
        self._vouched: dict[int, bool] = {}

    @property
    def is_vouched(self) -> bool:
        """Whether somebody outside knows of every link that was shown."""
        wanted = {self._seals[link.seal].anchor for link in self._links if link.seal in self._seals}
        return bool(wanted) and all(each is not None and self._vouched.get(each) for each in wanted)

    def look(self) -> list[Finding]:
        """Everything that is not as it was sealed."""
        findings = [*self._order(), *self._look_at_links(), *self._look_at_seals(), *self._look_at_anchors()]
        findings += self._look_at_table()
        if gone_on := sum(link.has_gone_on for link in self._links):
            self.said.append(
                f"{gone_on} links are of earlier states of alerts and messages: of those only digests are left"
            )
        self.said.append(f"{len(self._links)} links, {len(self._seals)} seals, {len(self._anchors)} anchors looked at")
        return findings

    def _order(self) -> list[Finding]:
        first, last = self._about["first_of_patient"], self._about["last_of_patient"]
        found, expected = [], first
        numbers = [link.of_patient for link in self._links]
        for number in numbers:
            if number is not None and number > expected:
                says = f"numbers {expected} to {number - 1} of the patient are missing"
                found.append(Finding("deleted", says, seq=expected))
            elif number is not None and number < expected:
                says = f"number {number} of the patient stands twice, or not in its place"
                found.append(Finding("inserted" if numbers.count(number) > 1 else "swapped", says, seq=number))
            expected = max(expected, (number or 0) + 1)
        if last is not None and expected <= last:
            found.append(
                Finding("cut", f"numbers {expected} to {last} of the patient are missing: the end was cut off")
            )
        return found

    def _look_at_links(self) -> list[Finding]:
        found = []
        for link in self._links:
            what = f"{link.ledger} {link.key}".strip()
            if link.patient_id != self._about["patient"]:
                found.append(
                    Finding("inserted", f"link {link.seq} is of another patient", link.seq, link.ledger, link.key)
                )
            elif link.hides or not (link.has_gone_on or self._fits(link)):
                says = f"link {link.seq}: {what} is not what was sealed"
                found.append(Finding("changed", says, link.seq, link.ledger, link.key))
            elif hash_link(link.previous, link) != link.hash:
                found.append(
                    Finding("changed", f"link {link.seq} is not what was sealed", link.seq, link.ledger, link.key)
                )
            elif not self._is_sealed(link):
                says = f"link {link.seq}: {what} was not sealed where it says"
                found.append(Finding("inserted", says, link.seq, link.ledger, link.key))
        by_seq = {link.seq: link for link in self._links}
        return name_swapped(found, lambda one, other: self._is_swapped(by_seq[one.seq or 0], by_seq[other.seq or 0]))

    def _look_at_table(self) -> list[Finding]:
        """What is for the eye says what was sealed."""
        with (self._folder / "readings.csv").open(encoding="utf-8-sig", newline="") as text:
            names, *shown = list(csv.reader(text)) or [[]]
        sealed = [
            [_cell((each["reading"] or {}).get(name)) for name in names]
            for link in self._links
            if link.ledger == READINGS
            for each in link.rows or ()
        ]
        if shown == sealed:
            return []
        at = next((at for at, pair in enumerate(zip(shown, sealed, strict=False)) if pair[0] != pair[1]), None)
        where = f"has {len(shown)} readings and not {len(sealed)}" if at is None else f"line {at + 2}"
        return [Finding("changed", f"readings.csv is not what was sealed: {where}")]

    def _fits(self, link: Link, row: Any = ...) -> bool:
        if link.ledger == READINGS:
            members = [each["name"] for each in link.rows]
            parts = b"".join(self._part(each) for each in link.rows)
            return digest_readings(members, parts) == link.digest
        return self._digest(link.ledger, link.row if row is ... else row) == link.digest

    def _part(self, each: dict[str, Any]) -> bytes:
        return self._digest(READINGS, each["reading"]) + self._digest("reading_raw", each["raw"])

    def _digest(self, ledger: str, row: Any) -> bytes:
        secret = None if ledger in self._about["plain"] else self._key
        return digest_row(canonical({"ledger": ledger, "row": row}).encode(), secret)

    def _is_swapped(self, one: Link, other: Link) -> bool:
        """Whether each shows the other's row, or, the names aside, what the other's row held."""
        if one.ledger != other.ledger or not (one.row and other.row):
            return False
        names = self._about["keys"].get(one.ledger, ())
        moved = {**other.row, **{name: one.row[name] for name in names if name in one.row}}
        return self._fits(one, moved) or self._fits(one, other.row)

    def _is_sealed(self, link: Link) -> bool:
        seal = self._seals.get(link.seal)
        return (
            seal is not None
            and seal.first_seq <= link.seq <= seal.last_seq
            and root_by_path(link.hash, link.path) == seal.root
        )

    def _look_at_seals(self) -> list[Finding]:
        found = []
        for seal in self._seals.values():
            if hash_seal(seal.previous, seal) != seal.hash:
                found.append(Finding("changed", f"seal {seal.seal} is not what was written", seal.first_seq))
            elif seal.anchor is None:
                self.said.append(
                    f"seal {seal.seal} of {seal.at:%Y-%m-%d %H:%M:%S} had not been anchored when this was exported"
                )
            elif seal.anchor not in self._anchors:
                found.append(Finding("deleted", f"anchor {seal.anchor} is missing", seal.first_seq))
            elif (
                root_by_path(seal.hash, seal.path).hex() != json.loads(self._anchors[seal.anchor]["statement"])["root"]
            ):
                says = f"seal {seal.seal} is not among those of anchor {seal.anchor}: the chain was written anew"
                found.append(Finding("rewritten", says, seal.first_seq))
        return found

    def _look_at_anchors(self) -> list[Finding]:
        found = []
        for number, anchor in self._anchors.items():
            statement = anchor["statement"]
            self._vouched[number] = statement in self._outside
            if self._outside and not self._vouched[number]:
                says = f"anchor {number} is not among those that were kept outside: the chain was written anew"
                found.append(Finding("rewritten", says))
            for receipt in anchor["receipts"]:
                why = self._why_not(number, statement, self._folder / receipt) if receipt.endswith(".tsr") else None
                if why is not None:
                    found.append(Finding("unproved", f"anchor {number}: the time stamp {receipt} does not hold: {why}"))
        return found

    def _why_not(self, number: int, statement: str, token: Path) -> str | None:
        ca = self._ca or self._folder / "tsa.pem"
        openssl = shutil.which("openssl")
        if openssl is None or not ca.exists():
            self.said.append(
                f"anchor {number}: its time stamp was not checked: that needs openssl, and --ca or tsa.pem"
            )
            return None
        digest = sha256(statement.encode()).hexdigest()
        verify = [openssl, "ts", "-verify", "-in", str(token), "-digest", digest, "-CAfile", str(ca)]
        done = subprocess.run(verify, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return (done.stderr.strip().splitlines() or ["openssl says no"])[-1]
        shown = subprocess.run(
            [openssl, "ts", "-reply", "-in", str(token), "-text"], capture_output=True, text=True, check=False
        )
        stamp = next((line for line in shown.stdout.splitlines() if line.startswith("Time stamp:")), "")
        self.said.append(f"anchor {number}, of {json.loads(statement)['at']}: {stamp or 'time stamp holds'}")
        self._vouched[number] = self._vouched[number] or self._ca is not None
        return None


def _lines(path: Path) -> list[dict[str, Any]]:
    """Numbers keep all of their digits."""
    return [_read(line) for line in path.read_text("utf-8").splitlines() if line]


def _read(text: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(text, parse_float=Decimal, object_pairs_hook=_once)
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) != len(pairs):
        raise SaidTwiceError(f"a name stands twice among {', '.join(sorted(said))}")
    return said


def _cell(value: object) -> str:
    return "" if value is None else canonical(value).strip('"')


def _link(said: dict[str, Any]) -> Link:
    hashes: dict[str, Any] = {name: bytes.fromhex(said.pop(name)) for name in ("digest", "hash", "previous")}
    content = {name: said.pop(name, None) for name in ("row", "rows")}
    has_gone_on = bool(said.pop("has_gone_on", False))
    return Link(**hashes, path=tuple(said.pop("path")), has_gone_on=has_gone_on, **content, **said)


def _seal(said: dict[str, Any]) -> Seal:
    hashes: dict[str, Any] = {name: bytes.fromhex(said.pop(name)) for name in ("root", "head", "hash", "previous")}
    at = datetime.fromisoformat(said.pop("at").replace("Z", "+00:00"))
    return Seal(**hashes, at=at, path=tuple(said.pop("path")), **said)


if __name__ == "__main__":
    sys.exit(main())
