"""The files for Prometheus and Grafana in deploy/monitoring: the real promtool judges them."""

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from rigs.debian import program

from edge.link.metrics import Metrics
from edge.link.state import LinkState

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy/monitoring"
RULES = yaml.safe_load((MONITORING / "edge-alerts.yml").read_text())["groups"][0]["rules"]
TESTS = (ROOT / "tests/link/alerts_test.yml").read_text()
DASHBOARD = json.loads((MONITORING / "edge-dashboard.json").read_text())
TARGETS = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        [*program("prometheus", "promtool"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def known() -> dict[str, set[str]]:
    """The labels of each metric, when everything is known."""
    metrics = Metrics()
    full = LinkState(up=True, model="m", engine="e", camera_up=True, memory_mib=1.0, memory_budget_mib=2.0)
    metrics.changed(LinkState(**{**vars(full), "temperature_c": 50.0, "throttled": False}))
    metrics.happened({"event": "frame", "looked": True, "inference_ms": 1.0})
    found: dict[str, set[str]] = {"up": set()}
    for family in metrics.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_the_rules_do_what_they_say(tmp_path: Path) -> None:
    promtool("check", "rules", str(MONITORING / "edge-alerts.yml"))
    tests = tmp_path / "tests.yml"
    tests.write_text(TESTS.replace("@RULES@", str(MONITORING / "edge-alerts.yml")))
    promtool("test", "rules", str(tests))


def test_a_rule_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    """The tests of the rules can fail."""
    text = (MONITORING / "edge-alerts.yml").read_text()
    for before, after in (("edge_up == 0\n", "edge_up == 1\n"), (" unless on (instance) edge_paused == 1", "")):
        assert before in text
        rules, tests = tmp_path / "rules.yml", tmp_path / "tests.yml"
        rules.write_text(text.replace(before, after, 1))
        tests.write_text(TESTS.replace("@RULES@", str(rules)))
        with pytest.raises(AssertionError, match="FAILED"):
            promtool("test", "rules", str(tests))


def test_each_alert_is_tested_to_come_and_to_stay_away() -> None:
    tried = [one for test in yaml.safe_load(TESTS)["tests"] for one in test["alert_rule_test"]]
    names = {rule["alert"] for rule in RULES}
    assert {one["alertname"] for one in tried if one.get("exp_alerts")} == names
    assert {one["alertname"] for one in tried if not one.get("exp_alerts")} == names


def test_the_example_for_prometheus_is_valid() -> None:
    promtool("check", "config", str(MONITORING / "prometheus.example.yml"))


def test_what_the_dashboard_asks_is_promql(tmp_path: Path) -> None:
    exprs = [expr.replace("$instance", ".*").replace("$__rate_interval", "5m") for _, expr in TARGETS]
    assert not [expr for expr in exprs if "$" in expr]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(exprs)} rules found" in promtool("check", "rules", str(file))


@pytest.mark.parametrize("expr", [*(rule["expr"] for rule in RULES), *(expr for _, expr in TARGETS)])
def test_they_ask_only_for_what_there_is(expr: str) -> None:
    metrics = known()
    names = set(re.findall(r"\b(?:edge_\w+|up)\b", expr))
    assert names
    assert names <= metrics.keys()
    labels = {name for inside in re.findall(r"\{([^}]*)\}", expr) for name in re.findall(r"(\w+)\s*[!=]", inside)}
    allowed: set[str] = {"job", "instance"}.union(*(metrics[name] for name in names))
    assert labels <= allowed


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    assert {one["name"] for one in DASHBOARD["templating"]["list"]} == {"datasource", "instance"}
    assert "id" not in DASHBOARD  # Grafana would look for a dashboard of this number


def test_the_page_has_all_metrics_and_their_labels() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    told: dict[str, set[str]] = {"up": set()}
    for names, labels in re.findall(r"(?m)^\| (`(?:edge|process)_.*?) \| (.*?) ?\|", page):
        told |= {name: set(re.findall(r"`(\w+)`", labels)) for name in re.findall(r"`(\w+)`", names)}
    there: dict[str, set[str]] = {}
    for name, labels in known().items():
        there.setdefault(re.sub("_(bucket|sum|count)$", "", name), set()).update(labels)
    assert told == there


def test_the_page_has_all_alerts() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    assert re.findall(r"(?m)^\| (Edge\w+) \|", page) == [rule["alert"] for rule in RULES]
