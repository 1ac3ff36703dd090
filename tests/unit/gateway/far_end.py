"""The clinic's end of the line, as a test plays it: takes what gateways publish, answers with receipts when told to."""

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from server.clock import now
from vitals.envelope import (
    MAX_BYTES_SENT,
    Envelope,
    Receipt,
    decode_envelope,
    decode_reading,
    encode_receipt,
)
from vitals.reading import Reading
from vitals.topics import Channel, Topic


@dataclass(slots=True)
class FarEnd:
    """A server that has committed what is in `stored`, by reading id, and counts what came again."""

    client: mqtt.Client
    answers: bool = True
    tells_time: bool = True
    stored: dict[str, Reading] = field(default_factory=dict)
    repeated: int = 0
    seqs: dict[str, set[int]] = field(default_factory=dict)
    envelopes: "queue.Queue[Envelope]" = field(default_factory=queue.Queue)
    statuses: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    diagnoses: "queue.Queue[bytes]" = field(default_factory=queue.Queue)
    subscribed: "queue.Queue[None]" = field(default_factory=queue.Queue)

    def next_envelope(self, within_s: float = 10.0) -> Envelope:
        return self.envelopes.get(timeout=within_s)

    def is_silent(self, for_s: float) -> bool:
        """Whether no envelope comes for so long."""
        try:
            self.envelopes.get(timeout=for_s)
        except queue.Empty:
            return True
        return False

    def until_stored(self, count: int, within_s: float = 30.0) -> list[Reading]:
        """Take envelopes until so many different readings have come."""
        while len(self.stored) < count:
            self.next_envelope(within_s)
        return list(self.stored.values())

    def until_status(self, within_s: float = 10.0, **wanted: object) -> dict[str, Any]:
        """The next status message with these words in it."""
        while True:
            status = self.statuses.get(timeout=within_s)
            if wanted.items() <= status.items():
                return status

    def send(self, gateway_id: str, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        self.client.publish(str(Topic(gateway_id=gateway_id, channel=channel)), payload, qos=1, retain=retain)

    def answer(self, gateway_id: str, epoch: str) -> None:
        """The receipt for everything of this epoch that has come."""
        seqs = self.seqs[epoch]
        upto = next(seq for seq in range(len(seqs) + 1) if seq + 1 not in seqs)
        receipt = Receipt(epoch=epoch, upto=upto, extra=tuple(sorted(seq for seq in seqs if seq > upto)))
        self.send(gateway_id, Channel.RECEIPTS, encode_receipt(receipt))

    def _take(self, message: mqtt.MQTTMessage) -> None:
        topic = Topic.parse(message.topic)
        if topic.channel is Channel.STATUS:
            status = json.loads(message.payload)
            if self.tells_time and "asks" in status and not message.retain:
                asks = status["asks"]
                receipt = Receipt(epoch=asks["epoch"], upto=0, asked=asks["question"], at=now())
                self.send(topic.gateway_id, Channel.RECEIPTS, encode_receipt(receipt))
            self.statuses.put(status)
            return
        if topic.channel is Channel.DIAGNOSTICS:
            self.diagnoses.put(bytes(message.payload))
            return
        assert len(message.payload) <= MAX_BYTES_SENT
        envelope = decode_envelope(bytes(message.payload))
        assert envelope.gateway_id == topic.gateway_id
        for row in envelope.readings:
            reading = decode_reading(row)
            self.seqs.setdefault(envelope.epoch, set()).add(row.seq)
            self.repeated += str(reading.reading_id) in self.stored
            self.stored[str(reading.reading_id)] = reading
        if self.answers:
            self.answer(envelope.gateway_id, envelope.epoch)
        self.envelopes.put(envelope)


@contextmanager
def far_end(host: str, port: int, *, answers: bool = True, tells_time: bool = True) -> Iterator[FarEnd]:
    """Connected and subscribed when the context opens; it comes back by itself when the broker does."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="far-end", protocol=mqtt.MQTTv5)
    client.reconnect_delay_set(1, 1)
    far = FarEnd(client, answers=answers, tells_time=tells_time)

    def connected(*_: object) -> None:
        wanted = (Channel.READINGS, Channel.STATUS, Channel.DIAGNOSTICS)
        client.subscribe([(each.for_every_gateway, 1) for each in wanted])

    client.on_connect = connected  # type: ignore[assignment]
    client.on_subscribe = lambda *_: far.subscribed.put(None)  # type: ignore[assignment]
    client.on_message = lambda _, __, message: far._take(message)
    client.connect(host, port)
    client.loop_start()
    try:
        far.subscribed.get(timeout=10)
        yield far
    finally:
        client.disconnect()
        client.loop_stop()
