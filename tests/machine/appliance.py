"""Starts the appliance in qemu, and speaks with one that runs.

`Appliance` is for whoever starts it; `Machine` for whoever finds one by the address of its bus. The radio is a Unix socket
that carries HCI (H4); who joins it is the controller. Emulated by software (TCG): kvm is not needed, nor asked for.
"""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from homevigil.embedded import child

from .image import Image

QEMU: Final = "qemu-system-x86_64"
BOOT_WITHIN_S: Final = 180.0
"""Five seconds on a quiet machine."""
ANSWER_WITHIN_S: Final = 60.0
MEMORY_MIB: Final = 512
COMMAND_LINE: Final = "console=ttyS0 panic=-1 oops=panic quiet loglevel=4 mitigations=off tsc=reliable no_timer_check"


class MachineError(Exception):
    """The sentence says what to do or where to look."""


@dataclass(slots=True, kw_only=True)
class Appliance:
    """`with Appliance(image=...) as running:` is booted, with bluetoothd stopped and no radio attached."""

    image: Image
    boot_s: float = 0.0
    folder: Path = field(init=False)
    port: int = field(init=False)
    _process: "subprocess.Popen[bytes]" = field(init=False)

    def __enter__(self) -> Self:
        if shutil.which(QEMU) is None:
            raise MachineError(
                f"{QEMU} not found; to have it: sudo apt-get install --no-install-recommends qemu-system-x86"
            )
        self.port = _free_port()
        self.folder = folder_of(self.port)
        self.folder.mkdir(mode=0o700)
        facts = {"kernel": self.image.kernel, "suite": self.image.suite, **self.image.packages}
        (self.folder / "machine.json").write_text(json.dumps(facts))
        began = time.monotonic()
        with (self.folder / "qemu.log").open("wb") as log:
            self._process = child.start(self._command(), log=log, death_signal=signal.SIGKILL)
        try:
            self._wait_until_ready(began)
        except BaseException:
            self._end()
            raise
        self.boot_s = time.monotonic() - began
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        shutil.rmtree(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        """By which a client comes to its bus. The relay in the guest is root's, so a client says that it is root."""
        return {"DBUS_SYSTEM_BUS_ADDRESS": address_of(self.port), "BLEAK_DBUS_AUTH_UID": "0"}

    def _command(self) -> list[str]:
        image, here = self.image.folder, self.folder
        return [
            QEMU, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MIB),
            "-display", "none", "-no-reboot", "-monitor", "none", "-serial", f"file:{here}/console.log",
            "-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd.gz", "-append", COMMAND_LINE,
            "-drive", f"file={image}/root.ext4,if=virtio,format=raw,snapshot=on", "-device", "virtio-rng-pci",
            "-netdev", f"user,id=bus,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:9000",
            "-device", "virtio-net-pci,netdev=bus,romfile=", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=hci,path={here}/hci.socket,server=on,wait=off", "-device", "virtconsole,chardev=hci",
            "-chardev", f"socket,id=control,path={here}/control.socket,server=on,wait=off",
            "-device", "virtserialport,chardev=control,name=control",
        ]  # fmt: skip

    def _wait_until_ready(self, began: float) -> None:
        console = self.folder / "console.log"
        while "MACHINE: ready" not in _text(console):
            if self._process.poll() is not None:
                raise MachineError(f"qemu ended: {_text(self.folder / 'qemu.log')[-500:]}{_text(console)[-500:]}")
            if time.monotonic() - began > BOOT_WITHIN_S:
                raise MachineError(f"not booted within {BOOT_WITHIN_S:.0f} s; its console:\n{_text(console)[-2000:]}")
            time.sleep(0.05)  # a file is all that is known of it so far

    def _end(self) -> None:
        child.stop(self._process, with_signal=signal.SIGKILL)  # nothing in it is worth keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An appliance that runs, as its clients know it."""

    folder: Path

    @classmethod
    def at(cls, bus_address: str) -> Self | None:
        """The appliance whose system bus that is; None if it is some other bus."""
        port = bus_address.removeprefix("tcp:host=127.0.0.1,port=")
        folder = folder_of(int(port)) if port.isdecimal() else None
        return cls(folder=folder) if folder is not None and folder.exists() else None

    @property
    def facts(self) -> dict[str, str]:
        """Suite, kernel and versions."""
        facts: dict[str, str] = json.loads((self.folder / "machine.json").read_text())
        return facts

    @property
    def hci(self) -> Path:
        """The socket at whose other end the radio is."""
        return self.folder / "hci.socket"

    @property
    def console(self) -> str:
        """All that the kernel, bluetoothd and the guest's scripts have said since the boot."""
        return _text(self.folder / "console.log")

    @contextmanager
    def control(self) -> Iterator["Control"]:
        """The line by which bluetoothd and the radio are started and stopped; one at a time."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_WITHIN_S)
            line.connect(str(self.folder / "control.socket"))
            yield Control(line)


class Control:
    """Verbs of guest/control; each returns when it is done."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def do(self, *verbs: str) -> None:
        for verb in verbs:
            self._line.sendall(f"{verb}\n".encode())
            answer = b""
            while not answer.endswith(b"\n"):
                answer += self._line.recv(4096)
            if answer != b"ok\n":
                raise MachineError(f"{verb}: {answer.decode().strip()}")


def address_of(port: int) -> str:
    return f"tcp:host=127.0.0.1,port={port}"


def folder_of(port: int) -> Path:
    """Where the sockets of the machine whose bus has that port lie. Short, for a socket's path must be."""
    folder = Path(tempfile.gettempdir()) / f"homevigil-machine-{os.geteuid()}-{port}"
    if folder.exists() and (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) != (os.geteuid(), 0o700):
        raise MachineError(f"{folder} is not ours")
    return folder


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""
