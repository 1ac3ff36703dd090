"""Bad input on the wire (docs/reference/bad-inputs, rows 14 to 18 and 22): no clean envelope, or not from whom it says.

Made from the payload that a real outbox would publish. At the end of each test the next good reading gets through, and the
accounts balance.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from doors import open_door, settings_for
from fix_clinic import Clinic
from households import enrol
from one_line import MINUTE, Line, line_with
from plain_gateway import PlainGateway
from unit.gateway.homes import CUFF

from homevigil.embedded.broker import EmbeddedBroker
from server.store.postgres import transaction
from vitals.envelope import MAX_BYTES_TAKEN, Receipt

Change = Callable[[bytes], bytes]

# 14, 15, 22: who speaks


async def test_14_a_gateway_that_speaks_for_another_is_suspended_after_three_messages(
    clinic: Clinic, tmp_path: Path
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        with transaction(clinic.pool) as conn:
            impostor = enrol(conn, enrolled_on=line.household.since.date())
        for nth in (1, 2, 3):
            line.home.inflate("bp", systolic=200 + nth)
            await line.home.until_kept(nth)
            (payload,) = line.payloads(from_seq=nth)
            receipt = line.intake.take(payload, topic_gateway=impostor.gateway_id)
            assert receipt is not None
            assert {each.reason for each in receipt.rejected} == {"wrong_gateway"}
        assert line.rows("select gateway_id from gateway where state = 'suspended'") == [
            {"gateway_id": impostor.gateway_id}
        ]
        assert line.rows("select 1 from reading") == []
        assert len(await line.arrive(3)) == 3, "whose they are still brings them in"


@pytest.mark.parametrize("state", ["suspended", "revoked"])
async def test_15_a_gateway_that_is_shut_out_gets_no_receipt_and_keeps_its_rows(
    clinic: Clinic, tmp_path: Path, state: str
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        clinic.rows("update gateway set state = %s", state)
        line.home.inflate("bp", systolic=133)
        await line.home.until_kept(1)
        (payload,) = line.payloads()
        assert line.take(payload) is None
        assert [reason for reason, _ in line.quarantined()] == ["revoked"]
        assert line.home.outbox.counts().unconfirmed == 1
        clinic.rows("update gateway set state = 'active'")
        assert len(await line.arrive(1)) == 1


async def test_22_a_receipt_that_cannot_be_about_these_readings_confirms_none(clinic: Clinic, tmp_path: Path) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.home.inflate("bp", systolic=133)
        await line.home.until_kept(1)
        outbox = line.home.outbox
        for foreign in (
            Receipt(epoch="fedcba9876543210", upto=1),
            Receipt(epoch=outbox.epoch, upto=2),
            Receipt(epoch=outbox.epoch, upto=0, extra=(1, 7)),
        ):
            assert outbox.apply(foreign, now=line.home.true_now) == 0
        assert (outbox.counts().unconfirmed, outbox.counts().ignored_receipts) == (1, 3)
        assert len(await line.arrive(1)) == 1


# 16, 17, 18: messages

HOSTILE: dict[str, tuple[Change, str]] = {
    "over 32 KiB": (lambda sent: sent + b" " * MAX_BYTES_TAKEN, "decode:size"),
    "depth bomb": (lambda sent: b"[" * 20_000 + b"]" * 10_000, "decode:json"),
    "objects without end": (lambda sent: b'{"v":' * 4_000 + b"1" + b"}" * 4_000, "decode:json"),
    "integer of 5,000 digits": (lambda sent: sent.replace(b'"v":1', b'"v":' + b"7" * 5_000), "decode:json"),
    "NaN": (lambda sent: sent.replace(b'"v":1', b'"v":NaN'), "decode:json"),
    "Infinity": (lambda sent: sent.replace(b'"v":1', b'"v":-Infinity'), "decode:json"),
    "duplicate key": (lambda sent: sent.replace(b'"v":1', b'"v":1,"v":1'), "decode:duplicate_key"),
    "invalid UTF-8": (lambda sent: sent.replace(b'"gw-', b'"\xc3\x28gw-', 1), "decode:utf8"),
    "lone surrogate": (lambda sent: sent.replace(b'"gw-', b'"\\ud800gw-', 1), "decode:json"),
    "NUL in text": (lambda sent: sent.replace(b'"gw-', b'"\\u0000gw-', 1), "decode:schema"),
    "NUL byte": (lambda sent: sent.replace(b'"gw-', b'"\0gw-', 1), "decode:json"),
    "BOM": (lambda sent: b"\xef\xbb\xbf" + sent, "decode:json"),
    "empty": (lambda sent: b"", "decode:json"),
    "trailing bytes": (lambda sent: sent + b"\0\0", "decode:json"),
    "another type": (lambda sent: sent.replace(b'"v":1', b'"v":"1"'), "decode:schema"),
    "unknown field": (lambda sent: sent.replace(b'"v":1', b'"v":1,"note":""'), "decode:schema"),
}


@pytest.mark.parametrize(("change", "reason"), HOSTILE.values(), ids=HOSTILE)
async def test_16_a_hostile_message_is_put_away_with_its_first_4_kib(
    clinic: Clinic, tmp_path: Path, change: Change, reason: str
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.home.inflate("bp", systolic=250)
        await line.home.until_kept(1)
        (sent,) = line.payloads()
        hostile = change(sent)
        assert hostile != sent
        line.take(hostile)
        line.take(hostile)
        assert line.quarantined() == [(reason, hostile[:4096])], "kept once, however often it comes"
        assert line.rows("select 1 from reading") == line.rows("select 1 from due where reason <> 'timer'") == []


ROW_OF_A_BATCH: dict[str, tuple[Change, str]] = {
    "NaN": (lambda row: row.replace(b"150.0", b"NaN"), "decode:json"),
    "infinite": (lambda row: row.replace(b"150.0", b"1e400"), "decode:schema"),
    "duplicate key": (lambda row: row.replace(b'"zone":', b'"zone":"UTC","zone":'), "decode:duplicate_key"),
    "invalid UTF-8": (lambda row: row.replace(b'"zone":"', b'"zone":"\xc3\x28'), "decode:utf8"),
    "lone surrogate": (lambda row: row.replace(b'"zone":"', b'"zone":"\\ud800'), "decode:utf8"),
    "NUL in text": (lambda row: row.replace(b'"zone":"', b'"zone":"\\u0000'), "decode:schema"),
    "NUL byte": (lambda row: row.replace(b'"zone":"', b'"zone":"\0'), "decode:json"),
    "depth bomb": (lambda row: row.replace(b"150.0", b"[" * 5_000 + b"]" * 5_000), "decode:json"),
    "integer of 5,000 digits": (lambda row: row.replace(b"150.0", b"7" * 5_000), "decode:json"),
    "unknown field": (lambda row: row.replace(b'"zone":', b'"mood":"good","zone":'), "decode:schema"),
    "another type": (lambda row: row.replace(b"150.0", b'"150"'), "decode:schema"),
    "a kind of the future": (lambda row: row.replace(b'"blood_pressure"', b'"weight"'), "decode:schema"),
}


@pytest.mark.parametrize(("change", "reason"), ROW_OF_A_BATCH.values(), ids=ROW_OF_A_BATCH)
async def test_18_one_bad_row_among_good_ones_is_put_away_alone_and_the_receipt_lists_it(
    clinic: Clinic, tmp_path: Path, change: Change, reason: str
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        await keep_three(line)
        head, first, second, third = line.payloads()[0].split(b'{"seq":')
        bad = change(second)
        assert bad != second
        receipt = line.take(b'{"seq":'.join((head, first, bad, third)))
        assert receipt is not None
        assert (receipt.upto, [(each.seq, each.reason) for each in receipt.rejected]) == (3, [(2, reason)])
        assert [each for each, _ in line.quarantined()] == [reason]
        line.home.outbox.apply(receipt, now=line.home.true_now)
        stored = line.rows("select systolic_mmhg from reading order by measured_at")
        assert [row["systolic_mmhg"] for row in stored] == [149, 151]
        assert (line.home.outbox.counts().confirmed, line.home.outbox.counts().rejected) == (2, 1)


async def keep_three(line: Line) -> None:
    """149, 150 and 151 mmHg, a minute apart, in one envelope."""
    for nth in (1, 2, 3):
        line.home.inflate("bp", systolic=148 + nth)
        await line.home.until_kept(nth)
        line.home.let_pass(MINUTE)


async def test_18_a_value_that_no_meter_can_send_stops_no_judge(clinic: Clinic, tmp_path: Path) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.home.inflate("bp", systolic=150)
        await line.home.until_kept(1)
        (sent,) = line.payloads()
        assert line.take(sent.replace(b'"systolic_mmhg":150.0', b'"systolic_mmhg":1e308')) is not None
        line.judge()
        assert line.rows("select quality, quality_reasons from reading") == [
            {"quality": "invalid", "quality_reasons": ["range"]}
        ]
        assert line.rows("select 1 from due where due_at <= now()") == []
        line.home.outbox.reject(1, "a test changed it on the way")


async def test_18_a_batch_of_ten_thousand_is_put_away_as_one(clinic: Clinic, tmp_path: Path) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.home.inflate("bp", systolic=133)
        await line.home.until_kept(1)
        head, row = line.payloads()[0].removesuffix(b"]}").split(b"[", 1)
        batch = head + b"[" + b",".join([row] * 10_000) + b"]}"
        assert line.take(batch) is None
        assert line.quarantined() == [("decode:size", batch[:4096])]
        assert len(await line.arrive(1)) == 1, "in an envelope of its own it comes in"


async def test_17_a_newer_message_is_kept_whole_and_can_be_taken_after_the_upgrade(
    clinic: Clinic, tmp_path: Path
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        await keep_three(line)
        (sent,) = line.payloads()
        newer = sent.replace(b'"v":1', b'"v":2', 1)
        receipt = line.take(newer)
        assert receipt is not None
        assert [(each.seq, each.reason) for each in receipt.rejected] == [(n, "schema_newer") for n in (1, 2, 3)]
        line.home.outbox.apply(receipt, now=line.home.true_now)
        ((reason, kept),) = line.quarantined()
        assert (reason, kept) == ("schema_newer", newer)
        line.take(kept.replace(b'"v":2', b'"v":1', 1))  # as a build that reads it would
        assert len(line.rows("select 1 from reading")) == 3


async def test_17_an_older_message_is_put_away(clinic: Clinic, tmp_path: Path) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        line.home.inflate("bp", systolic=133)
        await line.home.until_kept(1)
        older = line.payloads()[0].replace(b'"v":1', b'"v":0', 1)
        line.take(older)
        assert line.quarantined() == [("schema_older", older)]


async def test_16_17_18_through_the_broker_the_door_takes_the_next_good_message(
    clinic: Clinic, tmp_path: Path, mosquitto: EmbeddedBroker, database_url: str
) -> None:
    async with line_with(clinic, tmp_path, CUFF) as line:
        await keep_three(line)
        (sent,) = line.payloads()
        head, first, second, third = sent.split(b'{"seq":')
        bad_row = b'{"seq":'.join((head, first, second.replace(b"150.0", b"NaN"), third))
        hostile = [change(sent) for change, _ in HOSTILE.values()] + [sent.replace(b'"v":1', b'"v":2', 1)]
        hostile = [payload for payload in hostile if len(payload) <= MAX_BYTES_TAKEN - 100]  # more the broker refuses
        gateway = PlainGateway(mosquitto, line.household)
        try:
            with open_door(settings_for(mosquitto, database_url), clinic.pool):
                for payload in hostile:
                    gateway.publish(payload)
                gateway.publish(bad_row)
                answer_naming(gateway, {2: "decode:json"})
                gateway.publish(sent)
                line.home.outbox.apply(answer_naming(gateway, {}), now=line.home.true_now)
        finally:
            gateway.close()
        assert len(line.quarantined()) == len(hostile) + 1
        assert len(line.rows("select 1 from reading")) == 3
        line.send()


def answer_naming(gateway: PlainGateway, rejected: dict[int, str]) -> Receipt:
    """The next receipt that rejects exactly these."""
    while True:
        receipt = gateway.receipt()
        if {each.seq: each.reason for each in receipt.rejected} == rejected:
            return receipt
