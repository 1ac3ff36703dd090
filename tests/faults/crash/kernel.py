"""Every call by which a program changes files, as the kernel saw it: strace around a child, its lines read into `Call`s.

The program and its SQLite are the ones that ship, unmodified. A call that changes a file in a way that is not understood here
ends the recording with an error: what is not recorded cannot be rebuilt.
"""

import functools
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from faults.crash.disk import Call, Create, Folder, Mark, Remove, Rename, Resize, Sync, Write

_TRACED: Final = (
    "open openat creat write pwrite64 writev pwritev pwritev2 fsync fdatasync sync_file_range ftruncate truncate fallocate"
    " unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat mkdir mkdirat rmdir mmap copy_file_range sendfile"
)
_LINE: Final = re.compile(r"(?:\d+ +)?(?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+|\?|0x[0-9a-f]+)")
_ARGUMENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"(?:\.\.\.)?|<[^>]*>|[^,"<]+|,')
_DESCRIPTOR_AT: Final = {"mmap": 4, "copy_file_range": 2}
NOT_DURABLE: Final = ("-shm", ".lock")
"""The index of the journal lives in memory and is made anew; a lock is held by a process, not by a file's bytes."""


@functools.cache
def why_not() -> str | None:
    """Why nothing can be recorded here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed: sudo apt-get install strace"
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return f"strace may not trace here: {tried.stderr.strip()[:120]}" if tried.returncode else None


def record(
    command: Sequence[str],
    *,
    told: bytes,
    environment: Mapping[str, str],
    root: Path,
    marks: Path,
    at_first: Folder,
    inject: str | None = None,
) -> list[Call]:
    """Run `command` and return what it did to the files under `root`, in order; what it wrote to `marks` becomes a `Mark`.

    `told` is its standard input, `inject` strace's own expression for calls that are made to fail. Raises
    `subprocess.CalledProcessError` if the program fails.
    """
    trace = marks.with_suffix(".trace")
    wanted = ",".join(f"?{name}" for name in _TRACED.split())
    strace = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "1048576", "-o", str(trace), "-e", f"trace={wanted}"]
    injected = ["-e", f"inject={inject}"] if inject else []
    subprocess.run(
        [*strace, *injected, *command], input=told, env=environment, check=True, capture_output=True, timeout=120
    )
    calls = list(_Reader(root.resolve(), marks.resolve(), at_first).read(trace))
    trace.unlink()
    return calls


class _Reader:
    def __init__(self, root: Path, marks: Path, at_first: Folder) -> None:
        self._root = root
        self._marks = str(marks)
        self._there = set(at_first)

    def read(self, trace: Path) -> Iterator[Call]:
        with trace.open(encoding="ascii") as lines:
            for line in lines:
                if "unfinished ..." in line or "resumed>" in line:
                    raise AssertionError("a second thread writes: the order of its calls is not known")
                match = _LINE.match(line)
                if match and not match["result"].startswith("-"):
                    call = self._read(match["call"], _arguments(match["arguments"]))
                    if call is not None:
                        yield call

    def _read(self, call: str, given: list[str]) -> Call | None:
        match call:
            case "open" | "openat" | "creat":
                return self._opened(given if call != "openat" else given[1:])
            case "write" if _path(given[0]) == self._marks:
                return Mark(text=_text(given[1]).decode())
            case "mkdir" | "mkdirat":
                name = self._name(_text(given[-2]).decode())
                return Create(name=name, is_folder=True) if name and self._is_new(name) else None
            case "unlink" | "unlinkat" | "rmdir":
                return self._removed(_text(given[0 if call != "unlinkat" else 1]).decode())
            case "rename" | "renameat" | "renameat2":
                return self._renamed(*(_text(each).decode() for each in given if each.startswith('"')))
            case "link" | "linkat" | "symlink" | "symlinkat" | "truncate":
                names = [self._name(_text(each).decode()) for each in given if each.startswith('"')]
                assert not any(names), f"{call} of {names} is not understood: the disk cannot be rebuilt"
                return None
        name = self._name(_path(given[_DESCRIPTOR_AT.get(call, 0)]))
        return None if name is None else self._on_file(call, name, given)

    def _on_file(self, call: str, name: str, given: list[str]) -> Call | None:
        match call:
            case "pwrite64":
                return Write(name=name, offset=int(given[3]), content=_text(given[1]))
            case "fsync" | "fdatasync":
                return Sync(name=name, content_only=call == "fdatasync")
            case "ftruncate":
                return Resize(name=name, size=int(given[1]))
            case "fallocate" if given[1] == "0":
                return Resize(name=name, size=int(given[2]) + int(given[3]), grows_only=True)
            case "mmap" if "PROT_WRITE" not in given[2] or "MAP_SHARED" not in given[3]:
                return None
        raise AssertionError(f"{call} on {name} is not understood: the disk cannot be rebuilt")

    def _opened(self, given: list[str]) -> Call | None:
        name = self._name(_text(given[0]).decode())
        if name is None:
            return None
        assert not re.search("O_TRUNC|O_TMPFILE", given[1]), f"{name} is opened as {given[1]}"
        return Create(name=name) if "O_CREAT" in given[1] and self._is_new(name) else None

    def _removed(self, path: str) -> Call | None:
        name = self._name(path)
        if name is None:
            return None
        self._there.discard(name)
        return Remove(name=name)

    def _renamed(self, path: str, to: str) -> Call | None:
        name, new = self._name(path), self._name(to)
        if name is None and new is None:
            return None
        if name is None or new is None:
            raise AssertionError(f"{path} is moved in or out of the folder")
        self._there.discard(name)
        self._there.add(new)
        return Rename(name=name, to=new)

    def _is_new(self, name: str) -> bool:
        is_new = name not in self._there
        self._there.add(name)
        return is_new

    def _name(self, path: str | None) -> str | None:
        """The path below the root; None for what is elsewhere or does not outlive the process."""
        if path is None or path.endswith(NOT_DURABLE):
            return None
        try:
            return str(Path(path).relative_to(self._root))
        except ValueError:
            return None


def _arguments(text: str) -> list[str]:
    """The arguments, each with the path that strace says behind a descriptor."""
    found = [""]
    for part in _ARGUMENT.findall(text):
        if part == ",":
            found.append("")
        else:
            found[-1] += part.strip()
    return found


def _path(argument: str) -> str | None:
    """The path of a descriptor such as `5<\\x2f...>`; strace writes it in hex, too."""
    match = re.search(r"<(.*)>", argument)
    return _unescaped(match[1]).decode("utf-8", "surrogateescape") if match else None


def _text(argument: str) -> bytes:
    assert argument.startswith('"'), argument[:40]
    assert argument.endswith('"'), "a longer text than strace was told to write"
    return _unescaped(argument[1:-1])


def _unescaped(text: str) -> bytes:
    if text.startswith("\\x"):
        return bytes.fromhex(text.replace("\\x", ""))
    return text.encode()
