"""Mistakes that somebody could make between a meter and the clinic's tables, each of which loses, doubles or holds up readings.

Every function replaces parts of the product for the rest of the process. They stand outside it, mostly at its public verbs, and
change as little as the mistake would.
"""

import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

WRITER_EVERY_S: Final = 0.3
PURGED_AFTER_DAYS: Final = 30
_DROP_OLDEST: Final = "delete from reading where seq = (select min(seq) from reading where answered_at is null)"


# -- the gateway -------------------------------------------------------------------------------------------------------


def confirm_at_puback() -> None:
    """The broker's PUBACK is taken for the server's receipt."""
    from paho.mqtt.client import Client

    from gateway.clock import Clock
    from gateway.outbox import Outbox
    from vitals.envelope import Receipt, decode_envelope

    outboxes: list[Outbox] = []
    _after(Outbox, "__init__", lambda outbox, *_, **__: outboxes.append(outbox))
    publish = Client.publish

    def publish_and_believe(client: Client, topic: str, payload: Any = None, *args: Any, **more: Any) -> Any:
        told = publish(client, topic, payload, *args, **more)
        if topic.endswith("/readings"):
            sent = decode_envelope(payload)
            seqs = tuple(row.seq for row in sent.readings)

            def believe() -> None:
                told.wait_for_publish(30.0)
                if told.is_published():
                    outboxes[-1].apply(Receipt(epoch=sent.epoch, upto=0, extra=seqs), now=Clock().now())

            threading.Thread(target=believe, daemon=True).start()
        return told

    Client.publish = publish_and_believe  # type: ignore[method-assign]


def outbox_in_memory() -> None:
    """Readings wait in the memory of the process: every life begins with an empty outbox."""
    import gateway.outbox as module

    opened = module.open_file

    def open_nothing(path: Path, now: datetime) -> Any:
        return opened(path.with_name(f"life-{os.getpid()}.sqlite"), now)

    module.open_file = open_nothing


def drawn_reading_id() -> None:
    """The id of a reading is drawn when it is kept, not derived from what the meter said: a reading offered again is another."""
    from gateway.outbox import Outbox

    keep = Outbox.keep

    def keep_as_new(outbox: Outbox, reading: Any, **more: Any) -> int | None:
        return keep(outbox, msgspec.structs.replace(reading, reading_id=UUID(bytes=os.urandom(16))), **more)

    Outbox.keep = keep_as_new  # type: ignore[method-assign]


def kept_later() -> None:
    """A reading is answered as kept at once and written a moment later, many in one go."""
    from gateway.outbox import Outbox

    keep = Outbox.keep
    waiting: list[tuple[Outbox, Any]] = []

    def write() -> None:
        while True:
            threading.Event().wait(WRITER_EVERY_S)
            while waiting:
                outbox, reading = waiting.pop(0)
                keep(outbox, reading)

    threading.Thread(target=write, daemon=True).start()
    Outbox.keep = lambda outbox, reading, **_: waiting.append((outbox, reading))  # type: ignore[method-assign,assignment]


def never_sent_again() -> None:
    """What was published once is not published again while the connection stands."""
    from gateway.flights import Flights

    Flights._is_due = lambda flights, seq, now_s: seq not in flights._flights  # type: ignore[method-assign]
    Flights.next_due_in_s = lambda flights, now_s: None  # type: ignore[method-assign]


def sent_is_sent() -> None:
    """What was handed to the broker once is done with for the life of the process, whatever became of its connection."""
    from gateway.flights import Flights

    never_sent_again()
    Flights.connection_lost = lambda flights: None  # type: ignore[method-assign]


def purge_by_the_clock() -> None:
    """The upkeep deletes what was kept more than 30 days ago by the clock, whatever the server has said.

    It comes by as soon as somebody has told the time, and not an hour later, when the trial is long over.
    """
    from datetime import timedelta

    from gateway import app
    from gateway.outbox import Outbox
    from gateway.outbox_rows import instant_text

    def purge(outbox: Outbox, *, now: datetime) -> int:
        before = instant_text(now - timedelta(days=PURGED_AFTER_DAYS))
        query = "delete from reading where kept_at < ?"
        return outbox._write(lambda db: db.execute(query, (before,)).rowcount, may_drain=True)

    Outbox.purge = purge  # type: ignore[method-assign]
    app.UPKEEP_S = 0.1  # type: ignore[misc]


def overwrite_when_full() -> None:
    """A full outbox makes room by dropping its oldest reading, and says that all is well."""
    from gateway.errors import OutboxFullError
    from gateway.outbox import Outbox

    keep = Outbox.keep

    def keep_anyhow(outbox: Outbox, reading: Any, **more: Any) -> int | None:
        while True:
            try:
                return keep(outbox, reading, **more)
            except OutboxFullError:
                if not outbox._write(lambda db: db.execute(_DROP_OLDEST).rowcount, may_drain=True):
                    return None

    Outbox.keep = keep_anyhow  # type: ignore[method-assign]


def any_size_is_sent() -> None:
    """Nobody looks at the size of a message before it is published, nor for the one that the broker cuts the connection for.

    Without the first wall alone nothing is held up for long: the second finds the culprit (`gateway.caution`).
    """
    import gateway.flights as module
    import gateway.uplink as uplink
    from gateway.caution import Caution

    Caution.lost = lambda caution, *, is_cut: None  # type: ignore[method-assign]
    pack = module.pack

    def pack_all(rows: Any, **more: Any) -> tuple[list[Any], list[int]]:
        parcels, oversize = pack(rows, **more)
        large = [row for row in rows if row.seq in oversize]
        encode = module.encode_envelope
        return [
            *(
                module.Parcel(seqs=(row.seq,), payload=encode(more["gateway_id"], more["epoch"], [(row.seq, row.body)]))
                for row in large
            ),
            *parcels,
        ], []

    module.pack = uplink.pack = pack_all


# -- the server --------------------------------------------------------------------------------------------------------


def receipt_before_commit() -> None:
    """The receipt goes out at once; a writer behind it commits what came, a moment later."""
    import server.intake as module

    take_all = module.Intake.take_all
    waiting: list[tuple[Any, list[tuple[str, bytes]]]] = []

    def write() -> None:
        while True:
            threading.Event().wait(WRITER_EVERY_S)
            while waiting:
                intake, messages = waiting.pop(0)
                take_all(intake, messages)

    def answer_at_once(intake: Any, messages: Iterable[tuple[str, bytes]], *, quiet: bool = False) -> Any:
        said = list(messages)
        waiting.append((intake, said))
        return tuple(_all_is_well(payload) for _, payload in said)

    threading.Thread(target=write, daemon=True).start()
    module.Intake.take_all = answer_at_once  # type: ignore[method-assign]


def receipt_in_an_outage() -> None:
    """While the database is away, messages are answered as if they were stored, so that the queue does not grow."""
    import server.intake as module
    from vitals.errors import UnavailableError

    take_all = module.Intake.take_all

    def take_or_answer(intake: Any, messages: Iterable[tuple[str, bytes]], *, quiet: bool = False) -> Any:
        said = list(messages)
        try:
            return take_all(intake, said, quiet=quiet)
        except UnavailableError:
            return tuple(_all_is_well(payload) for _, payload in said)

    module.Intake.take_all = take_or_answer  # type: ignore[method-assign]


def nothing_asked_again() -> None:
    """What a gateway says of its outbox is not compared with what is here."""
    import server.intake as module

    module.ask_again = lambda conn, gateway_id, said: None


def upto_is_the_highest() -> None:
    """The receipt says `upto` the highest number that has come, whether or not those before it have."""
    from server.store import intake as store

    advance = store.advance

    def advance_to_the_highest(conn: Any, committed: Mapping[tuple[str, str], Collection[int]]) -> Any:
        advance(conn, committed)
        return {outbox: max(seqs) for outbox, seqs in committed.items()}

    store.advance = advance_to_the_highest


def poison_costs_its_batch() -> None:
    """One row that the database refuses takes its whole batch into quarantine."""
    import server.store.intake as store

    def store_all_or_none(conn: Any, rows: Any) -> dict[UUID, Any]:
        if not rows:
            return {}
        try:
            with conn.transaction():
                return store._store(conn, rows)
        except store._POISON:
            return {row.reading.reading_id: store.Fate.POISON for row in rows}

    store._store_or_single_out = store_all_or_none


def seen_before_stored() -> None:
    """What has been seen is noted in a transaction of its own, before what it was is stored: a death between them makes the
    reading's every retry a repeat."""
    import server.store.intake as store

    psycopg = store.psycopg
    plain = store._store

    def note_then_store(conn: Any, rows: Any) -> dict[UUID, Any]:
        seen = {"reading_id": [row.reading.reading_id for row in rows]}
        known = "select reading_id from reading_seen where reading_id = any(%(reading_id)s::uuid[])"
        with psycopg.connect(conn.info.dsn, autocommit=True) as other:
            new = {found[0] for found in other.execute(known, seen)}
            for row in rows:
                if row.reading.reading_id not in new:
                    claim = {
                        "reading_id": [row.reading.reading_id],
                        "content_hash": [row.content_hash],
                        "gateway_id": [row.reading.gateway_id],
                    }
                    other.execute(store.SQL["claim"], claim)
        threading.Event().wait(0.05)  # a slow disk
        fates = plain(conn, rows)
        fresh = [row for row in rows if row.reading.reading_id not in new]
        stored = store._insert(conn, fresh)
        return fates | dict.fromkeys(stored, store.Fate.STORED)

    store._store = note_then_store


# -- classic mistakes that a receipt from end to end forgives ----------------------------------------------------------


def broker_forgets_when_told() -> None:
    """MQTT is acknowledged as soon as a message has come, before it is stored (paho's default)."""
    import server.door as module

    plain = module.Client

    def without_manual_ack(*args: Any, **more: Any) -> Any:
        return plain(*args, **(more | {"manual_ack": False}))

    module.Client = without_manual_ack  # type: ignore[assignment,misc]


def clean_start() -> None:
    """Intake's session at the broker begins anew with each connection: what waited for it there is dropped."""
    import server.door as module

    class ForgetfulClient(module.Client):  # type: ignore[misc,name-defined]
        def connect_async(self, *args: Any, **more: Any) -> None:
            super().connect_async(*args, **(more | {"clean_start": True}))

    module.Client = ForgetfulClient  # type: ignore[misc]


def session_ends_at_once() -> None:
    """Intake's session at the broker ends with its connection (MQTT 5's default)."""
    import server.door as module

    module.SESSION_S = 0  # type: ignore[misc]


def late_acknowledgement() -> None:
    """A message is acknowledged on whichever connection there is by now, where its number may name another one."""
    from server.door import Door

    def acknowledge(door: Any, delivery: Any) -> None:
        door._taken += 1
        door._client.ack(delivery.mid, delivery.qos)

    Door._acknowledge = acknowledge  # type: ignore[method-assign]


def size_not_checked() -> None:
    """Nobody looks at the size of a message before it is published; the row that the broker cuts for is found afterwards."""
    from gateway.caution import Caution

    lost = Caution.lost
    any_size_is_sent()
    Caution.lost = lost  # type: ignore[method-assign]


def window_kept_over_a_cut() -> None:
    """After a cut nothing is sent at once again: each row waits for its own time."""
    from gateway.flights import Flights

    Flights.connection_lost = lambda flights: None  # type: ignore[method-assign]


def _all_is_well(payload: bytes) -> Any:
    """A receipt for everything in an envelope; None for what is none."""
    from vitals.envelope import Receipt, decode_envelope
    from vitals.errors import MalformedError

    try:
        envelope = decode_envelope(payload)
    except MalformedError:
        return None
    return Receipt(epoch=envelope.epoch, upto=0, extra=tuple(row.seq for row in envelope.readings))


def _after(owner: type, name: str, then: Callable[..., object]) -> None:
    """Do `then` after each call of a method, with the same arguments."""
    method = getattr(owner, name)

    @wraps(method)
    def both(*args: Any, **more: Any) -> Any:
        result = method(*args, **more)
        then(*args, **more)
        return result

    setattr(owner, name, both)
