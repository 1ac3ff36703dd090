"""Evidence proves itself to whoever has nothing of ours: the verifier runs alone, and time stamps are of a real authority.

The authority is openssl's (`ts -reply`), behind a small HTTP server: it signs what our client really sends.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from homevigil.embedded.postgres import EmbeddedPostgres
from server import clock
from server.audit.anchoring import keep_gap_alarm, make_anchor, show
from server.audit.evidence import NothingSealedError, export
from server.audit.notaries import FileNotary, statements_in
from server.audit.sealing import seal_all
from server.audit.timestamps import TimestampNotary
from server.audit.verifying import verify
from server.store import audit, audit_chain, enrolment
from server.store.alarms import AlarmKind, open_alarms
from server.store.postgres import Connection, Pool, open_pool, transaction
from vitals.errors import UnavailableError

WANG, LI = 1, 2
EVER = {"since": datetime(2026, 1, 1, tzinfo=UTC), "until": datetime(2100, 1, 1, tzinfo=UTC)}

TSA = """
[tsa]
default_tsa = t
[t]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
[ext]
extendedKeyUsage = critical,timeStamping
basicConstraints = CA:false
"""


@dataclass(frozen=True)
class Authority:
    """A time-stamping authority, and the certificate that it leads to."""

    url: str
    ca_file: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    folder = tmp_path_factory.mktemp("tsa")
    (folder / "tsa.cnf").write_text(TSA.format(folder=folder))
    (folder / "serial").write_text("01\n")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "9", "-subj", "/CN=An authority")
    openssl("req", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=A clock")
    openssl(
        *("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "tsa.pem"),
        *("-days", "9", "-extfile", "tsa.cnf", "-extensions", "ext"),
    )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            (folder / "query.tsq").write_bytes(query)
            openssl("ts", "-reply", "-queryfile", "query.tsq", "-config", "tsa.cnf", "-out", "reply.tsr")
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write((folder / "reply.tsr").read_bytes())

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Authority(url=f"http://127.0.0.1:{server.server_port}/", ca_file=folder / "ca.pem")
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class House:
    pool: Pool
    outside: Path
    notary: TimestampNotary
    authority: Authority


@pytest.fixture(scope="module")
def house(
    postgres: EmbeddedPostgres, migrated_template: str, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Two patients, twenty deeds about each, sealed five at a time; anchored twice, and then not any more."""
    outside = tmp_path_factory.mktemp("outside")
    notary = TimestampNotary(authority.url, authority.ca_file)
    url = postgres.create_database("evidence", template=migrated_template)
    with open_pool(url) as pool:
        with transaction(pool) as conn:
            for _ in range(2):
                _enrol(conn)
        for number in range(20):
            _write(pool, number)
            if number % 5 == 4:
                seal_all(pool)
            if number % 10 == 9:
                with transaction(pool) as conn:
                    make_anchor(conn, now=clock.now())
                assert show(pool, [FileNotary(outside), notary]) == 2
        yield House(pool=pool, outside=outside, notary=notary, authority=authority)
    postgres.drop_database("evidence")


def _enrol(conn: Connection) -> None:
    enrolment.add_patient(
        conn,
        name="Somebody",
        language="zh",
        enrolled_on=clock.now().date(),
        zone="UTC",
        doctor_id=None,
        now=clock.now(),
    )


def _write(pool: Pool, number: int) -> None:
    with transaction(pool) as conn:
        for patient_id in (WANG, LI):
            audit.note(
                conn,
                actor="user:1",
                act="record.read",
                at=clock.now(),
                patient_id=patient_id,
                detail={"n": number, "x": 1.5},
            )
            conn.execute(
                b"insert into symptom_answer (patient_id, answered_at, symptoms) values (%s, now(), array['chest_pain'])",
                (patient_id,),
            )


def exported(house: House, folder: Path, **asked: Any) -> Path:
    with transaction(house.pool) as conn:
        ca = house.authority.ca_file.read_bytes()
        export(conn, folder, **{"patient_id": WANG, "tsa_ca": ca, **EVER, **asked})
    return folder


def check(folder: Path, *options: str) -> tuple[int, str]:
    """What the verifier in the folder says, run by a Python that knows nothing of ours."""
    command = [sys.executable, "-S", "-B", str(folder / "verify.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={"PATH": os.defpath})
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_evidence_is_checked_by_its_own_verifier_and_by_time_stamps(house: House, tmp_path: Path) -> None:
    code, said = check(exported(house, tmp_path), f"--ca={house.authority.ca_file}")
    assert code == 0, said
    assert said.count("Time stamp: ") == 2
    assert "everything is as it was sealed\n" in said


def test_certificates_that_come_with_the_evidence_vouch_for_nothing(house: House, tmp_path: Path) -> None:
    """Whoever makes up a chain makes up an authority for its time stamps, too."""
    code, said = check(exported(house, tmp_path))
    assert (code, said.count("Time stamp: "), "nobody outside vouches" in said) == (2, 2, True), said


def test_the_same_question_makes_the_same_files(house: House, tmp_path: Path) -> None:
    one, other = exported(house, tmp_path / "one"), exported(house, tmp_path / "other")
    files = {path.relative_to(one): path.read_bytes() for path in sorted(one.rglob("*")) if path.is_file()}
    assert files == {path.relative_to(other): path.read_bytes() for path in sorted(other.rglob("*")) if path.is_file()}
    assert len(files) == 14


def test_evidence_of_one_patient_holds_nothing_of_another(house: House, tmp_path: Path) -> None:
    folder = exported(house, tmp_path)
    links = [json.loads(line) for line in (folder / "links.jsonl").read_text().splitlines()]
    assert {link["patient_id"] for link in links} == {WANG}
    assert len(links) > 40
    assert [link["of_patient"] for link in links] == list(range(1, len(links) + 1))
    with transaction(house.pool) as conn:
        secret = audit_chain.list_keys_of(conn, [LI])[LI]
    assert secret is not None
    assert all(secret.hex() not in path.read_text("utf-8", "ignore") for path in folder.rglob("*") if path.is_file())


def test_without_anybody_outside_evidence_says_so(house: House, tmp_path: Path) -> None:
    folder = exported(house, tmp_path)
    (folder / "tsa.pem").unlink()
    code, said = check(folder)
    assert (code, "nobody outside vouches" in said) == (2, True)
    outside = [f"--anchors={path}" for path in house.outside.glob("*.jsonl")]
    assert check(folder, *outside)[0] == 0


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "links.jsonl").read_text().splitlines()]


def put(folder: Path, links: list[dict[str, Any]]) -> None:
    (folder / "links.jsonl").write_text("".join(json.dumps(link) + "\n" for link in links))


def edit(folder: Path) -> None:
    links = lines_of(folder)
    links[11]["row"]["symptoms" if links[11]["ledger"] == "symptom_answer" else "actor"] = ["none"]
    put(folder, links)


def delete(folder: Path) -> None:
    put(folder, lines_of(folder)[:7] + lines_of(folder)[8:])


def insert(folder: Path) -> None:
    links = lines_of(folder)
    put(folder, [*links[:7], {**links[7], "row": {**links[7]["row"]}}, *links[7:]])


def swap(folder: Path) -> None:
    links = lines_of(folder)
    one, other = [link for link in links if link["ledger"] == "audit_entry"][3:9:5]
    one["row"], other["row"] = other["row"], one["row"]
    put(folder, links)


def cut(folder: Path) -> None:
    put(folder, lines_of(folder)[:-3])


def hide(folder: Path) -> None:
    """Another content, and beside it the word that of this link there is only a digest left."""
    links = lines_of(folder)
    links[11]["row"]["symptoms" if links[11]["ledger"] == "symptom_answer" else "actor"] = ["none"]
    links[11]["has_gone_on"] = True
    put(folder, links)


def say_twice(folder: Path) -> None:
    """Some readers of JSON show the first of two members of one name, and some the last."""
    path = folder / "links.jsonl"
    path.write_text(path.read_text().replace('"actor":"user:1"', '"actor":"user:9","actor":"user:1"', 1))


def retell(folder: Path) -> None:
    """The table for the eye tells of a reading that was never sealed."""
    path = folder / "readings.csv"
    path.write_bytes(path.read_bytes() + b"2026-11-01T08:00:00.000000Z,blood_pressure,120,80\n")


def rename(folder: Path) -> None:
    """It is said to be somebody else's."""
    path = folder / "evidence.json"
    path.write_text(path.read_text().replace(f'"patient":{WANG}', f'"patient":{LI}'))


def rewrite(folder: Path) -> None:
    """The anchors are made anew; who outside was shown the old ones cannot be."""
    path = folder / "anchors.jsonl"
    anchors = [json.loads(line) for line in path.read_text().splitlines()]
    statement = json.loads(anchors[0]["statement"])
    statement["at"] = "2026-01-01T00:00:00.000000Z"
    anchors[0]["statement"] = json.dumps(statement, separators=(",", ":"), sort_keys=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in anchors))


@pytest.mark.parametrize(
    ("deed", "named"),
    [
        (edit, "CHANGED"),
        (delete, "DELETED"),
        (insert, "INSERTED"),
        (swap, "SWAPPED"),
        (cut, "CUT"),
        (rewrite, "UNPROVED"),
        (hide, "CHANGED"),
        (say_twice, "CHANGED"),
        (retell, "CHANGED"),
        (rename, "INSERTED"),
    ],
)
def test_evidence_that_was_tampered_with_says_how(
    house: House, tmp_path: Path, deed: Callable[[Path], None], named: str
) -> None:
    folder = exported(house, tmp_path)
    deed(folder)
    code, said = check(folder)
    assert (code, named in said) == (1, True), said


def test_a_time_stamp_of_another_authority_or_of_another_statement_is_none(house: House) -> None:
    with transaction(house.pool) as conn:
        one, other = audit_chain.list_anchors(conn)
        receipt = next(each for each in audit_chain.list_receipts(conn) if each.notary == "rfc3161")
    assert house.notary.objection(one, receipt.receipt) is None
    assert house.notary.objection(other, receipt.receipt) is not None
    assert house.notary.objection(one, receipt.receipt[:-20]) is not None


def test_the_verifier_of_the_house_looks_at_the_receipts_too(house: House) -> None:
    with transaction(house.pool) as conn:
        found = verify(conn, outside=statements_in(house.outside), notaries=[house.notary, FileNotary(house.outside)])
    assert found.is_whole
    assert (found.anchors, found.anchored_seq) == (2, found.links)


def test_an_authority_that_is_away_keeps_nobody_else_waiting(house: House, tmp_path: Path) -> None:
    away = TimestampNotary("http://127.0.0.1:9/", house.authority.ca_file)
    with pytest.raises(UnavailableError, match="does not answer"), transaction(house.pool) as conn:
        away.notarize(audit_chain.list_anchors(conn)[0])
    assert show(house.pool, [away, FileNotary(tmp_path)]) == 0  # both had answered by their names


def test_an_hour_without_an_answer_from_outside_is_an_alarm_until_one_comes(pool: Pool, tmp_path: Path) -> None:
    seal_all(pool)
    with transaction(pool) as conn:
        audit.note(conn, actor="user:1", act="record.read", at=clock.now())
    seal_all(pool)

    def is_raised(after: timedelta) -> bool:
        with transaction(pool) as conn:
            keep_gap_alarm(conn, now=clock.now() + after, why="")
            return AlarmKind.AUDIT_UNANCHORED in {alarm.kind for alarm in open_alarms(conn)}

    assert not is_raised(timedelta(minutes=59))
    assert is_raised(timedelta(minutes=61))
    with transaction(pool) as conn:
        make_anchor(conn, now=clock.now())
    assert is_raised(timedelta(minutes=61)), "an anchor that nobody has seen is none"
    show(pool, [FileNotary(tmp_path)])
    assert not is_raised(timedelta(minutes=61))


def test_there_is_no_evidence_of_whom_nothing_is_known_or_who_was_erased(pool: Pool, tmp_path: Path) -> None:
    with transaction(pool) as conn:
        _enrol(conn)
        conn.execute(b"insert into symptom_answer (patient_id, answered_at, symptoms) values (1, now(), '{}')")
    seal_all(pool)
    with pytest.raises(NothingSealedError), transaction(pool) as conn:
        export(conn, tmp_path, patient_id=2, **EVER)
    with transaction(pool) as conn:
        audit_chain.destroy_key(conn, 1, now=clock.now())
        conn.execute(b"alter table symptom_answer disable trigger symptom_answer_is_kept")
        conn.execute(b"delete from symptom_answer")
    with pytest.raises(NothingSealedError), transaction(pool) as conn:
        export(conn, tmp_path, patient_id=1, **EVER)
    with transaction(pool) as conn:
        found = verify(conn)
    assert (found.is_whole, found.erased > 0) == (True, True)
