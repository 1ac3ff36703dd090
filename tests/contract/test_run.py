"""run.py before anything is installed: the standard library alone, one clear sentence for what is missing, no work done twice."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
RUN = ROOT / "run.py"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """run.py as a module, with a `.venv` that is this test's own."""
    spec = importlib.util.spec_from_file_location("run_under_test", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "homevigil.json")
    return module


def test_it_imports_the_standard_library_alone() -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(RUN.read_text()))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [])
        + ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
    }
    assert imported - set(sys.stdlib_module_names) == set()


def test_a_python_that_is_too_old_can_read_it_and_is_told_so() -> None:
    ast.parse(RUN.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("version", [(3, 10, 12), (3, 14, 0)])
def test_another_python_is_refused_in_words(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(run.sys, "version_info", version)
    with pytest.raises(SystemExit) as refused:
        run.refuse_other_pythons()
    assert f"{version[0]}.{version[1]}" in str(refused.value)
    assert "3.11" in str(refused.value)


def test_where_venv_is_missing_the_exact_apt_line_is_printed(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit) as refused:
        run.make_venv_with_the_standard_library()
    assert f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in str(refused.value)


def test_a_finished_venv_is_used_at_once(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    python = run.VENV / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    run.STAMP.write_text(f'{{"demo": "{run.fingerprint("demo")}"}}')
    monkeypatch.setattr(run, "install", lambda *_: pytest.fail("nothing is to be installed"))
    assert run.prepare("demo") == python


def test_a_venv_for_tests_serves_the_demo_and_not_the_other_way(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []

    def pretend(python: Path, uv: str | None, packages: list[str]) -> str | None:
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        installed.append(Path(packages[-1]).name)
        return uv

    monkeypatch.setattr(run, "make_venv", lambda _: "uv")
    monkeypatch.setattr(run, "install", pretend)
    run.VENV.mkdir()
    for purpose in ("demo", "demo", "test", "demo", "test"):
        run.prepare(purpose)
    assert installed == ["demo.txt", ROOT.name, "test.txt", ROOT.name]


@pytest.mark.parametrize("broken", ["", "not json", "[]"])
def test_a_broken_stamp_means_a_new_install(run: ModuleType, broken: str) -> None:
    run.VENV.mkdir()
    run.STAMP.write_text(broken)
    assert run.read_stamp() == {}


def test_the_fingerprint_changes_with_place_and_python(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = run.fingerprint("demo")
    assert here != run.fingerprint("test")
    monkeypatch.setattr(run, "VENV", tmp_path / "moved" / ".venv")
    assert run.fingerprint("demo") != here


def test_a_missing_tool_names_its_suite_and_its_package(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.shutil, "which", lambda _: None)
    monkeypatch.setattr(run.Path, "glob", lambda _self, _pattern: iter(()))
    missing = run.missing_tools()
    assert {package for _, package in missing} == {package for *_, package in run.TOOLS}
    assert all(suite for suite, _ in missing)


def test_full_adds_its_rings_and_fails_with_any_of_them(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[str, ...]] = []

    def pretend(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        begun.append(tuple(command[1:]))
        return subprocess.CompletedProcess(command, 3 if command[1:] == ["second"] else 0)

    monkeypatch.setattr(run, "FULL", (("one", "a minute", ("first",)), ("two", "a minute", ("second",))))
    monkeypatch.setattr(run.subprocess, "run", pretend)
    assert run.run_full(Path("python"), 0) == 3
    assert begun == [("first",), ("second",)]
    assert run.run_full(Path("python"), 1) == 1


def test_the_tools_of_full_are_asked_for_with_it_alone(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.shutil, "which", lambda _: None)
    monkeypatch.setattr(run.Path, "glob", lambda _self, _pattern: iter(()))
    assert "qemu-system-x86" not in {package for _, package in run.missing_tools()}
    assert "qemu-system-x86" in {package for _, package in run.missing_tools(run.TOOLS + run.FULL_TOOLS)}


def test_a_reference_that_is_there_is_not_fetched_again(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(run, "REFERENCE", run.VENV.parent / "reference")
    monkeypatch.setattr(run, "make_reference", lambda lock: asked.append(lock) or run.REFERENCE.mkdir() or "")
    assert run.install_reference() == []
    assert run.install_reference() == []
    assert len(asked) == 1
    assert "iglu-python==" in asked[0]


def test_a_reference_that_cannot_be_had_is_said(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "REFERENCE", run.VENV.parent / "reference")
    monkeypatch.setattr(run, "make_reference", lambda lock: "no network")
    (note,) = run.install_reference()
    assert "to enable it" in note
    assert not (run.REFERENCE / "homevigil-lock").exists()


def test_a_developers_own_settings_do_not_reach_the_tests(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", "postgresql://production")
    assert not [name for name in run.plain_environment() if name.startswith("HOMEVIGIL_")]
    assert run.plain_environment()["PATH"] == os.environ["PATH"]


def test_no_process_of_the_tests_compiles_anew_what_another_has_compiled(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    assert "PYTHONPYCACHEPREFIX" not in run.plain_environment()
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    kept = run.plain_environment()
    assert "PYTHONDONTWRITEBYTECODE" not in kept
    assert Path(kept["PYTHONPYCACHEPREFIX"]).parent == run.VENV, "the sources' own folders stay as they are"


@pytest.mark.parametrize("asked", [["-n0"], ["--pdb"], ["-p", "no:randomly"]])
def test_tests_run_side_by_side_unless_another_way_is_asked_for(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    monkeypatch.setattr(run.os, "cpu_count", lambda: 32)
    assert run.side_by_side(["-k", "outbox"]) == ["-n", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
    assert run.side_by_side(asked) == []
    monkeypatch.setattr(run.os, "cpu_count", lambda: 1)
    assert run.side_by_side([]) == []


def test_what_is_imported_beside_the_checks_leaves_no_kernel_to_compile(run: ModuleType, tmp_path: Path) -> None:
    with_kernels = {path.stem for path in (ROOT / "server").rglob("*.py") if "from numba import" in path.read_text()}
    ask = f"import sys, {', '.join(run.WITH_KERNELS)}; print(*(name.split('.')[-1] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert with_kernels
    assert with_kernels - set(done.stdout.split()) == set()


def test_the_files_that_are_begun_first_are_there() -> None:
    listed = ast.parse((ROOT / "tests" / "conftest.py").read_text())
    (names,) = [
        ast.literal_eval(node.value)
        for node in listed.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LONGEST_FIRST"
    ]
    assert [name for name in names if not (ROOT / "tests" / name).exists()] == []


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["dmeo"], 2)])
def test_it_says_how_it_is_used(arguments: list[str], code: int) -> None:
    done = subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert "run.py demo" in done.stdout + done.stderr


def test_ci_runs_exactly_the_readmes_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec python3 run.py test"
