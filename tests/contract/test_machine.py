"""The machine of the second Bluetooth tier, as far as it can be looked at without starting it."""

from pathlib import Path

import pytest
from fix_machine import BRIDGE_ONLY, DIES, NOT_RADIO, why_not
from machine import image
from machine.__main__ import understood
from machine.appliance import Machine, address_of, folder_of


def test_options_come_before_the_dashes_and_the_command_after_them() -> None:
    asked, command = understood(["run", "--suite", "bookworm", "--", "pytest", "-n", "0", "--anew"])
    assert (asked.verb, asked.suite, asked.anew) == ("run", "bookworm", False)
    assert command == ["pytest", "-n", "0", "--anew"]
    asked, command = understood(["build", "--anew"])
    assert (asked.suite, asked.anew, command) == ("trixie", True, [])


def test_a_run_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        understood(["run"])
    assert "run -- COMMAND" in capsys.readouterr().err


def test_a_machine_is_made_anew_when_what_it_is_made_from_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = image.recipe()
    for file in image.GUEST.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(image, "GUEST", tmp_path)
    assert image.recipe() == before
    (tmp_path / "init").write_text("another")
    assert image.recipe() != before


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tmp_path in image.cache().parents


def test_a_bus_that_is_no_machines_is_none() -> None:
    assert Machine.at("") is None
    assert Machine.at("unix:path=/run/dbus/system_bus_socket") is None
    assert Machine.at(address_of(1)) is None, "nobody has started one there"
    assert folder_of(1).name.endswith("-1")


@pytest.mark.bridge
def test_what_a_machine_cannot_take_is_left_out_with_its_reason(
    request: pytest.FixtureRequest, tmp_path: Path, virtual_air: object
) -> None:
    (tmp_path / "machine.json").write_text('{"kernel": "6.1.0-56-amd64"}')
    old = Machine(folder=tmp_path)
    item = request.node
    assert why_not(item, old) == BRIDGE_ONLY
    item.own_markers.clear()
    assert why_not(item, old) is None
    item.add_marker("bond_lost")
    assert why_not(item, old) == DIES
    (tmp_path / "machine.json").write_text('{"kernel": "6.12.107+deb13-amd64"}')
    assert why_not(item, old) is None
    item.fixturenames.remove("virtual_air")
    assert why_not(item, old) == NOT_RADIO
