"""What operators are given beside the code: containers, alerts and a dashboard that fit the service as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.metrics import Metrics
from service.settings import Settings

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/hopfix.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8"))
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def expressions() -> list[str]:
    """Of every panel and alert."""
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return panels + [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]


def families() -> dict[str, str]:
    """The names that /metrics has, samples or not, with their types."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", Metrics().text().decode(), re.M))


def shown(name: str) -> str:
    """A metric as the docs name it: a histogram without the names of its parts."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


def test_every_metric_that_is_drawn_or_watched_exists() -> None:
    named = {name for e in expressions() for name in re.findall(r"\b(?:hopfix|process)_[a-z_]+", e)}
    assert len(named) > 20
    assert {shown(name) for name in named} <= families().keys()


def test_histograms_are_drawn_by_their_buckets_and_counters_by_their_rates() -> None:
    types = families()
    for expression in expressions():
        for name in re.findall(r"\bhopfix_[a-z_]+", expression):
            kind = types[shown(name)]
            assert (kind == "histogram") is name.endswith("_bucket"), expression
            assert (kind != "gauge") is bool(re.search(rf"(rate|increase)\({name}\b", expression)), expression


def test_every_metric_is_explained_and_no_other() -> None:
    explained = set(re.findall(r"^\| `((?:hopfix|process)_[a-z_]+)", OPERATIONS, re.M))
    assert explained == families().keys()


def test_every_alert_is_explained() -> None:
    rules = {rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]}
    assert set(re.findall(r"^\| `(Hopfix\w+)`", OPERATIONS, re.M)) == rules


def test_the_settings_are_the_ones_there_are() -> None:
    rows = re.findall(r"^\| `--([a-z-]+)` \| (.*?) \| (.*) \|$", OPERATIONS, re.M)
    expected = []
    for name, setting in Settings.model_fields.items():
        default = setting.default
        value = "" if default is None else "off" if default is False else f"`{default}`"
        expected.append((name.replace("_", "-"), value, setting.description))
    assert rows == expected


def test_the_files_that_compose_mounts_are_there() -> None:
    volumes = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", ())]
    for volume in volumes:
        source = volume.split(":")[0]
        assert source in COMPOSE["volumes"] or source == "./profiles" or (ROOT / source).exists(), volume
    for service in COMPOSE["services"].values():
        if "build" in service:
            assert f"AS {service['build']['target']}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_composes_variables_are_settings() -> None:
    for variable in COMPOSE["services"]["hopfix"]["environment"]:
        assert variable.removeprefix("HOPFIX_").lower() in Settings.model_fields


@pytest.mark.parametrize("port", ["8000", "9090", "3000"])
def test_compose_publishes_to_this_machine_alone(port: str) -> None:
    published: list[Any] = [p for service in COMPOSE["services"].values() for p in service.get("ports", ())]
    assert f"127.0.0.1:{port}:{port}" in published
    assert all(entry.startswith("127.0.0.1:") for entry in published)
