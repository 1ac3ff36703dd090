"""The gateway's end of the wire, without outbox or radio: publishes what a test gives it, and keeps the receipts."""

import queue
import threading

from households import Household
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from homevigil.embedded.broker import EmbeddedBroker
from vitals.envelope import Receipt, decode_receipt
from vitals.reading import Reading

WAIT_S = 30.0


class PlainGateway:
    """One gateway of one household, connected."""

    def __init__(self, broker: EmbeddedBroker, home: Household) -> None:
        self.home = home
        self.receipts: queue.Queue[Receipt] = queue.Queue()  # its `queue` is read, too
        ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, home.gateway_id, protocol=MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_connect = lambda client, *_: client.subscribe(f"homevigil/1/{home.gateway_id}/receipts", qos=1)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert ready.wait(WAIT_S)

    def publish(self, payload: bytes, channel: str = "readings", retain: bool = False) -> None:
        info = self._client.publish(f"homevigil/1/{self.home.gateway_id}/{channel}", payload, qos=1, retain=retain)
        info.wait_for_publish(WAIT_S)

    def send(self, *readings: Reading, first_seq: int) -> None:
        self.publish(self.home.envelope(*readings, first_seq=first_seq))

    def receipt(self) -> Receipt:
        return self.receipts.get(timeout=WAIT_S)

    def receipt_upto(self, seq: int) -> Receipt:
        while True:
            receipt = self.receipt()
            if receipt.upto >= seq:
                return receipt

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        self.receipts.put(decode_receipt(bytes(message.payload)))
