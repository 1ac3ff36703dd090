"""A radio made of memory: Bumble's virtual link and controller, with the gaps closed that real hosts fall into.

Bumble 0.0.236 is written for two Bumble hosts and a few peers. Each override below answers one thing that was seen to go
wrong with connects that time out, with a host that is not Bumble, or with a hundred meters on the air. No radio
propagation is modelled here: nothing is lost or late unless a meter's faults say so.
"""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

from bumble import hci, ll
from bumble.controller import Controller
from bumble.core import PhysicalTransport
from bumble.host import Host
from bumble.keys import MemoryKeyStore
from bumble.link import LocalLink


class VirtualLink(LocalLink):
    """Joins the controllers of one virtual air.

    `bonds` and `seen` are the disk of the host on it: what a bridge on this link has bonded with is known to the next one,
    as bluetoothd knows it after a restart. `seen` holds name and services by address. `steady_dbm` holds, by address, how
    strongly a meter is heard whose signal does not vary.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bonds = MemoryKeyStore()
        self.seen: dict[str, tuple[str | None, tuple[str, ...]]] = {}
        self.steady_dbm: dict[str, int] = {}

    def send_acl_data(
        self, sender_controller: Controller, destination_address: hci.Address, transport: PhysicalTransport, data: bytes
    ) -> None:
        """Name the connection's own address as the source.

        Upstream names the sender's random address; a central that connected with its public one is then never heard.
        """
        if transport != PhysicalTransport.LE:
            super().send_acl_data(sender_controller, destination_address, transport, data)
            return
        connection = sender_controller.le_connections.get(destination_address)
        source = connection.self_address if connection else sender_controller.random_address
        if (destination := self.find_le_controller(destination_address)) is not None:
            asyncio.get_running_loop().call_soon(destination.on_link_acl_data, source, transport, data)

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        """Deliver only to those who listen: with a hundred meters, all-to-all costs a third of a core for nothing."""
        loop = asyncio.get_running_loop()
        for controller in self.controllers:
            if controller is sender_controller:
                continue
            if isinstance(packet, ll.ConnectInd) or controller.le_scan_enable or controller.pending_le_connection:
                loop.call_soon(controller.on_ll_advertising_pdu, packet)


class VirtualController(Controller):
    """A controller that can cancel a connect, keep an accept list, be reset, and hear with a signal that varies.

    `rssi_dbm` gives the strength of each report. Upstream's constant hides meters: BlueZ tells its clients about *changes*
    only, and one that advertises again at the same strength has not changed.
    """

    def __init__(self, name: str, *, link: VirtualLink, rssi_dbm: Callable[[hci.Address], int], **options: Any) -> None:
        super().__init__(name, link=link, **options)
        self._accepted: set[hci.Address] = set()
        self._rssi_dbm = rssi_dbm
        self._steady_dbm = link.steady_dbm

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """A report goes to the host as it is. Upstream writes every packet out for its debug log, whether anybody reads it or
        not: with a hundred meters in earshot that is half of all the work."""
        match packet:
            case hci.HCI_LE_Extended_Advertising_Report_Event():
                packet = hci.HCI_LE_Extended_Advertising_Report_Event(
                    [dataclasses.replace(r, rssi=self._strength_dbm(r.address)) for r in packet.reports]
                )
            case hci.HCI_LE_Advertising_Report_Event():
                packet = hci.HCI_LE_Advertising_Report_Event(
                    [dataclasses.replace(r, rssi=self._strength_dbm(r.address)) for r in packet.reports]
                )
            case _:
                super().send_hci_packet(packet)
                return
        if self.host is not None:
            asyncio.get_running_loop().call_soon(self.host.on_packet, bytes(packet))

    def _strength_dbm(self, address: hci.Address) -> int:
        steady = self._steady_dbm.get(address.to_string(False))
        return self._rssi_dbm(address) if steady is None else steady

    def on_hci_reset_command(self, command: hci.HCI_Reset_Command) -> hci.HCI_StatusReturnParameters:
        self.pending_le_connection = None
        self.le_scan_enable = False
        self._accepted.clear()
        return super().on_hci_reset_command(command)

    def on_hci_le_clear_filter_accept_list_command(
        self, command: hci.HCI_LE_Clear_Filter_Accept_List_Command
    ) -> hci.HCI_StatusReturnParameters:
        self._accepted.clear()
        return super().on_hci_le_clear_filter_accept_list_command(command)

    def on_hci_le_add_device_to_filter_accept_list_command(
        self, command: hci.HCI_LE_Add_Device_To_Filter_Accept_List_Command
    ) -> hci.HCI_StatusReturnParameters:
        self._accepted.add(command.address)
        return super().on_hci_le_add_device_to_filter_accept_list_command(command)

    def on_hci_le_remove_device_from_filter_accept_list_command(
        self, command: hci.HCI_LE_Remove_Device_From_Filter_Accept_List_Command
    ) -> hci.HCI_StatusReturnParameters:
        self._accepted.discard(command.address)
        return super().on_hci_le_remove_device_from_filter_accept_list_command(command)

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """End the pending connect, as Vol 4, Part E, 7.8.13 asks.

        Upstream answers success and leaves it pending: after one timeout every later connect is "disallowed".
        """
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        ended = hci.HCI_LE_Connection_Complete_Event(
            status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            connection_handle=0,
            role=0,
            peer_address_type=pending.peer_address.address_type,
            peer_address=pending.peer_address,
            connection_interval=0,
            peripheral_latency=0,
            supervision_timeout=0,
            central_clock_accuracy=0,
        )
        asyncio.get_running_loop().call_soon(self.send_hci_packet, ended)
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        """Honour the accept list, which upstream ignores: for connecting, then for scanning."""
        pending = self.pending_le_connection
        is_accepted = pdu.advertiser_address in self._accepted
        if pending is not None and getattr(pending, "initiator_filter_policy", 0) == 1 and is_accepted:
            pending.peer_address = pdu.advertiser_address
            pending.peer_address_type = pdu.advertiser_address.address_type
        is_filtering = self.le_scan_enable and self.le_scanning_filter_policy & 1
        if is_filtering and not is_accepted:
            self.le_scan_enable = False
            try:
                super().on_advertising_pdu(pdu)
            finally:
                self.le_scan_enable = True
            return
        super().on_advertising_pdu(pdu)


class VirtualHost(Host):
    """A host that does not write out the reports that it hears, for the reason why `VirtualController` does not."""

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        match packet:
            case hci.HCI_LE_Extended_Advertising_Report_Event() | hci.HCI_LE_Advertising_Report_Event():
                self.on_hci_le_advertising_report_event(packet)
            case _:
                super().on_hci_packet(packet)
