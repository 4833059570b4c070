"""A real Prometheus, with the configuration and the alerts that operators are given, reads a real hopfix."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
WITHIN = 120.0

pytestmark = pytest.mark.skipif(
    not (PROMETHEUS and PROMTOOL),
    reason="prometheus is not installed: run 'make prometheus' as root, or install the package prometheus",
)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, server: Any) -> Iterator[httpx.Client]:
    """Its API. Only where it finds hopfix, and how often it asks, is the test's."""
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copytree(DEPLOY / "prometheus", folder, dirs_exist_ok=True)
    (folder / "targets.yml").write_text(yaml.safe_dump([{"targets": [urlsplit(server.url).netloc]}]))
    configuration = (folder / "prometheus.yml").read_text()
    (folder / "prometheus.yml").write_text(configuration.replace("scrape_interval: 5s", "scrape_interval: 1s"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(PROMETHEUS), *arguments, f"--web.listen-address={address}"], stdout=log, stderr=log
        )
    try:
        with httpx.Client(base_url=f"http://{address}/api/v1", timeout=60) as client:
            yield client
    finally:
        process.terminate()
        process.wait(60)


def result(prometheus: httpx.Client, expression: str) -> list[Any]:
    found: list[Any] = (
        prometheus.get("/query", params={"query": expression}).raise_for_status().json()["data"]["result"]
    )
    return found


def wait_for(prometheus: httpx.Client, expression: str) -> list[Any]:
    deadline = time.monotonic() + WITHIN
    while True:
        try:
            if found := result(prometheus, expression):
                return found
        except httpx.HTTPError:  # it has not started yet
            pass
        assert time.monotonic() < deadline, expression
        time.sleep(0.2)


def test_configuration_and_alerts_are_right() -> None:
    command = [str(PROMTOOL), "check", "config", "prometheus.yml"]
    done = subprocess.run(command, cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_panel_has_what_the_service_says(prometheus: httpx.Client, client: httpx.Client) -> None:
    wait_for(prometheus, 'up{job="hopfix"} == 1')
    before = float(result(prometheus, "sum(hopfix_answers_total) or vector(0)")[0]["value"][1])
    question = {"question": "Who runs the company that makes the Walkman?"}
    for request in (question, [question, {"question": "What is the capital of France?"}]):
        assert client.post("/v1/answer", json=request).status_code == 200
    wait_for(prometheus, f"sum(hopfix_answers_total) >= {before + 3}")
    wait_for(prometheus, "sum(count_over_time(hopfix_answers_total[10s])) > 4")  # a rate needs two readings
    says = set(re.findall(r"^(\w+)[{ ]", client.get("/metrics").text, re.M))
    dashboard = json.loads((DEPLOY / "grafana/dashboards/hopfix.json").read_text())
    drawn = 0
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "30s").replace("$instance", ".*")
            found = result(prometheus, expression)
            if set(re.findall(r"\b(?:hopfix|process)_\w+", expression)) <= says:
                assert found, f"{panel['title']} is empty: {expression}"
                drawn += 1
    assert drawn > 15


def test_one_command_starts_both_and_ends_both(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"HOPFIX_PORT": str(one.getsockname()[1]), "PROMETHEUS_PORT": str(other.getsockname()[1])}
    settings = {**os.environ, **ports, "BIN": str(Path(sys.executable).parent), "FOLDER": str(tmp_path / "monitoring")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([DEPLOY / "up"], env=settings, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}/api/v1", timeout=60) as client:
            wait_for(client, "hopfix_ready == 1")
    finally:
        process.terminate()
        process.wait(60)
    assert "Ctrl-C ends all of it" in (tmp_path / "log").read_text()
    for port in ports.values():
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}")


def test_nothing_is_wrong_with_a_service_that_does_what_it_should(prometheus: httpx.Client) -> None:
    wait_for(prometheus, "hopfix_ready == 1")
    groups = prometheus.get("/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == 10
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}  # unknown: not looked at yet
    assert not [rule["name"] for rule in rules if rule["state"] == "firing"]
