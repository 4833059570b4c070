"""The audit of pinned versions, with the real pip-audit and a server on this machine in place of the advisories."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

AUDIT = Path(__file__).parent.parent / ".ci" / "audit.py"
ADVISORY = {
    "id": "PYSEC-0000-1",
    "summary": "It breaks.",
    "modified": "2024-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "left", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


class Advisories(BaseHTTPRequestHandler):
    """Knows one package with a vulnerability."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"vulns": [ADVISORY]} if asked["package"]["name"] == "left" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def advisories() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


@pytest.fixture
def audit(tmp_path: Path):
    def run(pinned: str, url: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "constraints.txt"
        file.write_text(pinned)
        command = [sys.executable, str(AUDIT), "--osv-url", url, str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_a_known_vulnerability_fails(audit, advisories: str) -> None:
    done = audit("left==1.0\nright==2.0\n", advisories)
    assert done.returncode == 1, done.stderr
    assert "left 1.0 has PYSEC-0000-1, fixed in 1.1" in done.stdout
    assert "2 packages looked up, 1 vulnerabilities" in done.stdout


def test_none_known_passes(audit, advisories: str) -> None:
    done = audit("right==2.0\n", advisories)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 packages looked up, 0 vulnerabilities" in done.stdout


def test_advisories_out_of_reach_pass_and_are_said_to_be(audit) -> None:
    done = audit("left==1.0\n", "http://127.0.0.1:9/v1/query")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT DONE" in done.stdout
    assert "looked up" not in done.stdout


def test_a_file_that_cannot_be_audited_fails(audit, advisories: str) -> None:
    done = audit("left>=1.0\n", advisories)
    assert done.returncode == 1
    assert "pip-audit failed" in done.stdout
