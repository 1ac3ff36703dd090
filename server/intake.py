"""Takes readings into the store, whoever knocks: MQTT, a seed, a test. One transaction for what came, then the receipts.

No broker and no loop here (`server.door`); nothing is decided about a reading (`ledger`), and nothing is judged.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct

from server.arrivals import Arrival, Refused, hash_of, open_message
from server.ledger import commit_arrivals
from server.pace import Excess
from server.rewind import ask_again, said_in
from server.store import intake as store
from server.store import remote_config
from server.store.alarms import AlarmKind, raise_alarm, state_alarms
from server.store.gateway_lives import note_life
from server.store.postgres import Connection, Pool, in_transaction
from vitals.envelope import MAX_BYTES_SENT, Epoch, Question, Receipt
from vitals.remote_config import RemoteConfig, RequestId

log = structlog.get_logger()

STATUS_BYTES_MAX: Final = MAX_BYTES_SENT
DIAGNOSIS_BYTES_MAX: Final = MAX_BYTES_SENT


class Intake:
    """The door to the store, whoever knocks: MQTT, a seed, a test."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def take(self, payload: bytes, *, topic_gateway: str, quiet: bool = False) -> Receipt | None:
        """Take one message in; the receipt for its gateway, or None where there is nothing to say to it.

        `quiet`: this is history; it is judged, and nobody is told. Raises `UnavailableError` if the database is away.
        """
        return self.take_all([(topic_gateway, payload)], quiet=quiet)[0]

    def take_all(self, messages: Iterable[tuple[str, bytes]], *, quiet: bool = False) -> tuple[Receipt | None, ...]:
        """Take many `(topic_gateway, payload)` in, in one transaction; a receipt (or None) for each, in order."""
        arrivals = [open_message(payload, topic_gateway=gateway_id) for gateway_id, payload in messages]
        if not arrivals:
            return ()
        return in_transaction(self._pool, lambda conn: commit_arrivals(conn, arrivals, quiet=quiet))

    def refuse_unseen(self, payload: bytes, *, topic_gateway: str) -> None:
        """Put a message that broke us into quarantine without opening it, so that it cannot break us for ever."""
        row = Refused(seq=None, reason="intake_error", detail="see the log of that time", raw=payload)
        arrival = Arrival(gateway_id=topic_gateway, epoch=None, rows=(row,), message_hash=hash_of(payload))
        in_transaction(self._pool, lambda conn: commit_arrivals(conn, [arrival], quiet=True))

    def note_status(self, payload: bytes, *, topic_gateway: str, is_old: bool) -> Receipt | None:
        """Keep what a gateway says of itself; `is_old`: the broker had it from before, so it is no sign of life.

        Returns a receipt where the status shows that readings were lost here after they were confirmed: it asks for them. And
        where the status asks for the time: the receipt tells the database's.
        """
        if (status := _read_status(payload)) is None:
            log.warning("status_not_read", gateway_id=topic_gateway)
            return None
        text, state = status
        is_alive = not is_old and state != "offline"
        said, asks = (said_in(payload), _asked_in(payload)) if is_alive else (None, None)
        revision = _revision_in(payload) if is_alive else None

        def work(conn: Connection) -> Receipt | None:
            if is_alive:
                note_life(conn, topic_gateway, payload)
            store.note_status(conn, topic_gateway, text, is_alive=is_alive)
            if store.gateway_states(conn, [topic_gateway]).get(topic_gateway) != "active":
                return None
            if revision is not None:
                remote_config.heard(conn, topic_gateway, revision)
            receipt = None if said is None else ask_again(conn, topic_gateway, said)
            return receipt if asks is None else _tell_time(conn, asks, receipt)

        return in_transaction(self._pool, work)

    def note_diagnosis(self, payload: bytes, *, topic_gateway: str) -> bool:
        """Keep what a gateway has answered when it was asked how it is; False for what is none, or of one not listened to."""
        if len(payload) > DIAGNOSIS_BYTES_MAX:
            return False
        try:
            request = _diagnosis.decode(payload).request
            text = payload.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False

        def work(conn: Connection) -> bool:
            if store.gateway_states(conn, [topic_gateway]).get(topic_gateway) != "active":
                return False
            return remote_config.keep_diagnosis(conn, topic_gateway, request, text)

        return in_transaction(self._pool, work)

    def unpublished_configs(self) -> Sequence[tuple[str, RemoteConfig]]:
        """What the clinic has set in its gateways and they have not been sent."""
        return in_transaction(self._pool, remote_config.unpublished)

    def note_published(self, gateway_id: str, revision: int) -> None:
        """This document was given to the broker."""
        in_transaction(self._pool, lambda conn: remote_config.published(conn, gateway_id, revision))

    def note_excess(self, excess: Mapping[str, Excess]) -> None:
        """Count what was turned away at the door, and alarm where it is a flood."""

        def work(conn: Connection) -> None:
            store.count_turned_away(conn, {gateway_id: each.messages for gateway_id, each in excess.items()})
            for gateway_id in sorted(gateway_id for gateway_id, each in excess.items() if each.is_flood):
                detail = "sends far more than a home can measure; what is too much is neither taken nor answered"
                raise_alarm(conn, AlarmKind.FLOOD, subject=gateway_id, detail=detail)

        in_transaction(self._pool, work)

    def check_accounts(self, *, count_rows: bool) -> None:
        """Alarm where received = stored + repeated + quarantined does not hold; the alarm ends when rows and sums agree again.

        Without `count_rows` only the sums are looked at, which can find a fault and not that there is none.
        """

        def work(conn: Connection) -> None:
            wrong = store.check_accounts(conn, count_rows=count_rows)
            found = {account.gateway_id: _in_words(account) for account in wrong}
            if count_rows:
                state_alarms(conn, AlarmKind.ACCOUNT_UNBALANCED, found)
            for gateway_id, detail in [] if count_rows else found.items():
                raise_alarm(conn, AlarmKind.ACCOUNT_UNBALANCED, subject=gateway_id, detail=detail)

        in_transaction(self._pool, work)


def _read_status(payload: bytes) -> tuple[str, object] | None:
    """A status as text, and the state that it says; None for what is none."""
    if len(payload) > STATUS_BYTES_MAX:
        return None
    try:
        return payload.decode(), msgspec.json.decode(payload, type=dict[str, Any]).get("state")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Asks(Struct, frozen=True, kw_only=True):
    """A gateway asks for the time: `question` is to be sent back with it, in a receipt for the outbox's `epoch`."""

    epoch: Epoch
    question: Question


class _Asking(Struct, frozen=True, kw_only=True):
    asks: _Asks


_asking = msgspec.json.Decoder(_Asking)


class _ConfigSaid(Struct, frozen=True, kw_only=True):
    """The last document that a gateway was sent, by its number."""

    revision: int


class _Configured(Struct, frozen=True, kw_only=True):
    config: _ConfigSaid


class _Diagnosis(Struct, frozen=True, kw_only=True):
    request: RequestId


_configured = msgspec.json.Decoder(_Configured)
_diagnosis = msgspec.json.Decoder(_Diagnosis)


def _revision_in(payload: bytes) -> int | None:
    """Which document a gateway was last sent; None if it does not say, as one of 0.1.0."""
    try:
        return _configured.decode(payload).config.revision
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _asked_in(payload: bytes) -> _Asks | None:
    try:
        return _asking.decode(payload).asks
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _tell_time(conn: Connection, asks: _Asks, receipt: Receipt | None) -> Receipt:
    """The receipt with the database's clock in it; one that says nothing else if there is none."""
    receipt = receipt or Receipt(epoch=asks.epoch, upto=0)
    return msgspec.structs.replace(receipt, asked=asks.question, at=store.transaction_time(conn))


def _in_words(account: store.Account) -> str:
    sides = [f"{name} {getattr(account, name)}" for name in store.Account.__slots__ if name != "gateway_id"]
    return ", ".join(sides)
