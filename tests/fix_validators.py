"""Public validators as judges of what we publish: of FHIR resources npm `fhir` and `@medplum/core`, of the topics' description
the AsyncAPI initiative's own parser. They come by npm (`tests/validators`).
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "validators"
NOT_THERE = "npm's validators are not installed; to run this: (cd tests/validators && npm ci --legacy-peer-deps)"

Finding = dict[str, Any]
JudgeFhir = Callable[[Sequence[Any]], list[Finding]]


@pytest.fixture(scope="session")
def judge_fhir() -> JudgeFhir:
    """What both validators have against any of these FHIR R4 resources: `line` is the resource's place in the sequence."""
    _look()

    def judge(resources: Sequence[Any]) -> list[Finding]:
        return _run("fhir.mjs", "".join(json.dumps(each) + "\n" for each in resources))

    return judge


@pytest.fixture(scope="session")
def judge_asyncapi() -> Callable[[Any], list[Finding]]:
    """What the parser has against an AsyncAPI document."""
    _look()
    return lambda document: _run("asyncapi.mjs", json.dumps(document))


def _look() -> None:
    if shutil.which("node") is None or not (FOLDER / "node_modules").exists():
        if os.environ.get("CI"):
            pytest.fail(NOT_THERE)
        pytest.skip(NOT_THERE)


def _run(program: str, said: str) -> list[Finding]:
    command = ["node", str(FOLDER / program)]
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
