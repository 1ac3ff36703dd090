"""The table of kinds is whole: every kind can be made, addressed, told what to measure, and counted."""

from typing import get_args

import pytest
from unit.firmware_sims.told import ONE_OF_EACH, tell

from firmware_sims.happenings import firmware_of
from firmware_sims.kinds import KINDS, MEASUREMENTS, Kind
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter


def test_every_kind_has_its_row() -> None:
    assert set(get_args(Kind)) == set(KINDS)


def test_no_two_kinds_share_an_address() -> None:
    assert len({kind.address_byte for kind in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_firmware_that_sends_what_is_counted(kind: Kind) -> None:
    firmware = firmware_of(Meter(name="m", kind=kind, index=1))
    offered = {c.uuid for c in firmware.characteristics}
    assert KINDS[kind].measurements <= offered & MEASUREMENTS
    assert firmware.advertised_service in {c.service for c in firmware.own_characteristics}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_needs_and_takes_can_be_said(kind: Kind) -> None:
    firmware = firmware_of(Meter(name="m", kind=kind, index=1))
    assert firmware.needs or firmware.takes
    assert {*firmware.needs, *firmware.takes} <= set(Measure.__struct_fields__) - {"meter", "at"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_has_measured_advertises(kind: Kind) -> None:
    firmware = firmware_of(Meter(name="m", kind=kind, index=1))
    assert not firmware.is_advertising
    tell(firmware, **ONE_OF_EACH[kind])
    assert firmware.is_advertising
