"""What a failed, a hostile or a cut-off installation leaves on the disk of a gateway that runs: nothing."""

import errno
import io
import os
import tarfile
from pathlib import Path

import pytest

from gateway.installation import bundle, command
from gateway.installation.bundle import unpack
from gateway.installation.tree import Tree
from gateway.installation.wheels import NotWholeError


def _runs_out_of_disk(unfinished: Path) -> None:
    unfinished.mkdir(parents=True)
    (unfinished / "half").write_bytes(b"x")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_release_for_which_the_disk_has_no_room_gives_back_what_it_took(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    with tree.alone(), pytest.raises(OSError, match="No space"):
        tree.make(version="1", python="3.11", made_from="x", build=_runs_out_of_disk)
    assert list((tmp_path / "releases").iterdir()) == []


def test_a_tar_that_is_longer_than_a_release_is_not_unpacked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "LONGEST", 1000)
    with tarfile.open(tmp_path / "long.tar", "w") as tar:
        for name in ("a/first", "a/second"):
            member = tarfile.TarInfo(name)
            member.size = 600
            tar.addfile(member, io.BytesIO(bytes(600)))
    with pytest.raises(NotWholeError, match="longer than one can be"):
        unpack(tmp_path / "long.tar", tmp_path / "into")
    assert sorted(path.name for path in (tmp_path / "into").rglob("*")) == ["a", "first"]


def test_what_an_upgrade_that_was_cut_off_had_unpacked_goes_with_the_next(tmp_path: Path) -> None:
    left = tmp_path / "opt/homevigil/incoming-abc"
    left.mkdir(parents=True)
    (left / "much").write_bytes(b"x")
    assert command.main(["upgrade", f"--root={tmp_path}", str(tmp_path / "no-such.tar")]) == command.UNDONE
    assert not left.exists()


def test_a_disk_error_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "opt").write_text("a file where a folder must be")
    assert command.main(["upgrade", f"--root={tmp_path}", str(tmp_path / "no-such.tar")]) == command.UNDONE
    assert "Nothing that runs has been changed" in capsys.readouterr().err
