"""What an installation decides without touching anything: which machine will do, what a settings file says, what a list holds."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.installation import account, machine, wheels
from gateway.installation.wheels import NotWholeError

PI = machine.Machine(
    architecture="aarch64", is_64_bit=True, python=(3, 13), kernel=(6, 12, 47), glibc=(2, 41), free_mib=20_000,
    bluez=(5, 82), systemd=(257,), is_systemd_running=True, is_root=True,
)  # fmt: skip
PYTHONS = [(3, 11), (3, 12), (3, 13)]

TOO_LITTLE = {
    "another machine": ({"architecture": "armv7l"}, "for aarch64"),
    "a 32-bit system on a 64-bit machine": ({"is_64_bit": False}, "64-bit"),
    "an older Python": ({"python": (3, 9)}, "3.9"),
    "a Python that was not thought of": ({"python": (3, 14)}, "3.14"),
    "an old C library": ({"glibc": (2, 27)}, "2.28"),
    "another C library": ({"glibc": ()}, "glibc"),
    "no room": ({"free_mib": 299}, "300"),
    "not root": ({"is_root": False}, "sudo"),
    "an old BlueZ": ({"bluez": (5, 54)}, "5.54"),
    "no BlueZ": ({"bluez": ()}, "install bluez"),
    "an old systemd": ({"systemd": (241,)}, "247"),
    "a systemd that does not run": ({"is_systemd_running": False}, "must run here"),
}


def against(here: machine.Machine) -> list[str]:
    return machine.refusals(here, built_for="aarch64", pythons=PYTHONS) + machine.refusals_to_run(here)


def test_a_pi_of_today_will_do() -> None:
    assert against(PI) == []
    assert machine.advices(PI) == []


@pytest.mark.parametrize("which", TOO_LITTLE)
def test_what_is_missing_is_said_in_one_sentence(which: str) -> None:
    facts, word = TOO_LITTLE[which]
    (sentence,) = against(replace(PI, **facts))
    assert word in sentence


@pytest.mark.parametrize("bluez", [(5, 55), (5, 66), (5, 100), (6,)])
def test_versions_are_compared_as_numbers(bluez: tuple[int, ...]) -> None:
    assert against(replace(PI, bluez=bluez)) == []


def test_an_older_kernel_is_no_refusal_but_an_advice() -> None:
    older = replace(PI, kernel=(6, 1, 21))
    assert against(older) == []
    (advice,) = machine.advices(older)
    assert "6.12" in advice


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    here = machine.look(tmp_path / "not" / "there")
    assert here.is_64_bit
    assert here.glibc >= (2, 28)
    assert here.free_mib > 0


def test_settings_are_read_as_systemd_reads_them(tmp_path: Path) -> None:
    file = tmp_path / account.SETTINGS
    file.parent.mkdir(parents=True)
    file.write_text("# a note\n;another\n\nA=1\n B = two words \nC='$HOME'\nD=\"x=y\"\nE=\nnonsense\n")
    found = account.settings(tmp_path)
    assert found.pop("HOMEVIGIL_GATEWAY_OUTBOX") == f"{tmp_path}/var/lib/homevigil-gateway/outbox.sqlite3"
    assert found.pop("HOMEVIGIL_GATEWAY_IDENTITY") == f"{tmp_path}/var/lib/homevigil-gateway/identity"
    assert found == {"A": "1", "B": "two words", "C": "$HOME", "D": "x=y", "E": ""}


def test_a_settings_file_may_name_another_outbox(tmp_path: Path) -> None:
    file = tmp_path / account.SETTINGS
    file.parent.mkdir(parents=True)
    file.write_text("HOMEVIGIL_GATEWAY_OUTBOX=/mnt/outbox.sqlite3\n")
    assert account.settings(tmp_path)["HOMEVIGIL_GATEWAY_OUTBOX"] == "/mnt/outbox.sqlite3"


def test_the_services_user_is_who_the_machines_own_files_say(tmp_path: Path) -> None:
    assert account.account(tmp_path) is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nhomevigil-gateway:x:997:996::/:/bin/false\n")
    (tmp_path / "etc/group").write_text(
        "bluetooth:x:111:pi,homevigil-gateway\nother:x:5:pi\nhomevigil-gateway:x:996:\n"
    )
    assert account.account(tmp_path) == account.Account(uid=997, gid=996, groups=(996, 111))


def wheel(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "x = 1\n")
    return made.getvalue()


@pytest.mark.parametrize("name", ["../out.py", "/etc/out.py", "a-1.data/scripts/a", "a/../../out.py"])
def test_a_wheel_that_would_leave_its_folder_or_must_be_installed_is_refused(tmp_path: Path, name: str) -> None:
    import hashlib

    content = wheel("a/__init__.py", name)
    listed = [wheels.Listed(name="a.whl", sha256=hashlib.sha256(content).hexdigest())]
    with pytest.raises(NotWholeError, match=r"out\.py|scripts"):
        wheels.unpack_all(listed, lambda _: content, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_wheel_of_another_content_is_never_unpacked(tmp_path: Path) -> None:
    listed = wheels.read_list(f"{'0' * 64}  a.whl\n")
    with pytest.raises(NotWholeError, match=r"a\.whl"):
        wheels.unpack_all(listed, lambda _: wheel("a/__init__.py"), tmp_path / "site")
    assert not (tmp_path / "site").exists()
