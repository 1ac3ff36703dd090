"""Alert rules and dashboards: Prometheus itself reads every expression, the rules behave in time, every figure is there."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.api import metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "homevigil.rules.yml"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
NO_PROMTOOL = "promtool is not installed; to run this: sudo apt-get install prometheus"


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(NO_PROMTOOL)
        pytest.skip(NO_PROMTOOL)
    return found


def dashboard(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def expressions() -> list[str]:
    return [
        target["expr"]
        for path in DASHBOARDS
        for panel in dashboard(path)["panels"]
        for target in panel["targets"]
        if "expr" in target
    ]


def test_the_alert_rules_behave_in_time_as_prometheus_plays_them(promtool: str) -> None:
    for command in (["check", "rules", RULES.name], ["test", "rules", "homevigil.test.yml"]):
        done = subprocess.run([promtool, *command], cwd=RULES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_reads_its_configuration(promtool: str, tmp_path: Path) -> None:
    for name in ("prometheus.yml", RULES.name):
        shutil.copy(RULES.parent / name, tmp_path)
    (tmp_path / "homevigil.token").write_text("a token")

    done = subprocess.run(
        [promtool, "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_reads_every_expression_of_the_dashboards(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{nth}", "expr": expr} for nth, expr in enumerate(expressions())]
    file = tmp_path / "dashboards.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_the_dashboards_ask_for_figures_that_there_are() -> None:
    made = set(re.findall(r'_gauge\(\s*"(\w+)"', Path(metrics.__file__).read_text()))
    asked = {name for expr in expressions() for name in re.findall(r"homevigil_(\w+)", expr)}

    assert asked
    assert asked - made == set()


def test_each_dashboard_has_a_source_that_is_provisioned() -> None:
    given = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/homevigil.yaml").read_text())["datasources"]
    uids = {each["uid"] for each in given}

    assert len(DASHBOARDS) >= 2
    for path in DASHBOARDS:
        content = dashboard(path)
        assert {panel["datasource"]["uid"] for panel in content["panels"]} <= uids
        assert len({panel["id"] for panel in content["panels"]}) == len(content["panels"])
        assert content["uid"] == f"homevigil-{path.stem}"
