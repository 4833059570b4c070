"""A stand-in for the Hugging Face hub's HTTP API, as far as fetching a snapshot and pushing a few files need it.

MOCK: the real hub is not to be reached from every machine that runs the tests. The client is the real one
(huggingface_hub), pointed here by HF_ENDPOINT. TOKEN may write, READER may not; without either only GET is answered.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

Repositories = dict[str, dict[str, bytes]]
"""Files by path, by repository, such as "datasets/org/name" or "models/org/name", or "models/org/name@branch"."""

TOKEN, READER = "hf_writes", "hf_reads"


@contextmanager
def serving(repositories: Repositories) -> Iterator[str]:
    """The stand-in's address. What is pushed appears in `repositories`."""

    class Handler(_Handler):
        stored = repositories

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    stored: Repositories
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0].strip("/"))
        if path.startswith("api/"):
            return self._repository(path.removeprefix("api/").split("/"))
        name, _, rest = path.partition("/resolve/")
        revision, _, file = rest.partition("/")
        files = self._files(name if name.startswith("datasets/") else f"models/{name}", revision)
        if files is None:
            return None
        if file not in files:
            return self._missing("EntryNotFound")
        return self._reply(files[file], {"X-Repo-Commit": commit(files), "ETag": f'"{_hash(files[file])}"'})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self._body()
        path = unquote(self.path.partition("?")[0].strip("/")).removeprefix("api/")
        if path == "validate-yaml":
            return self._reply({"errors": [], "warnings": []})
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given != TOKEN:
            return self._reply({"error": "not allowed"}, status=403 if given == READER else 401)
        if path == "repos/create":
            asked = json.loads(body)
            name = f"{asked.get('type') or 'model'}s/{asked['organization']}/{asked['name']}"
            there = name in self.stored
            self.stored.setdefault(name, {})
            url = f"http://{self.headers['Host']}/{asked['organization']}/{asked['name']}"
            return self._reply({"url": url}, status=409 if there else 200)
        kind, organisation, name, what, revision = path.split("/", 4)
        repository = f"{kind}/{organisation}/{name}"
        if repository not in self.stored:
            return self._missing("RepoNotFound")
        if what == "branch":
            there = f"{repository}@{revision}" in self.stored
            self.stored.setdefault(f"{repository}@{revision}", dict(self.stored[repository]))
            return self._reply({}, status=409 if there else 200)
        if what == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            return self._reply({"files": modes})
        files = self.stored[repository if revision == "main" else f"{repository}@{revision}"]
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = b64decode(line["value"]["content"])
        url = f"http://{self.headers['Host']}/{organisation}/{name}/commit/{commit(files)}"
        return self._reply({"commitUrl": url, "commitOid": commit(files)})

    def _repository(self, parts: list[str]) -> None:
        what, revision = parts[3:5] if len(parts) > 4 else ("revision", "main")
        files = self._files("/".join(parts[:3]), revision)
        if files is None:
            return None
        if what == "tree":
            tree = [{"type": "file", "path": p, "oid": _hash(b), "size": len(b)} for p, b in files.items()]
            return self._reply(tree)
        siblings = [{"rfilename": path} for path in files]
        return self._reply({"id": "/".join(parts[1:3]), "sha": commit(files), "siblings": siblings})

    def _files(self, repository: str, revision: str) -> dict[str, bytes] | None:
        """Of a branch or a commit; says what is missing."""
        if repository not in self.stored:
            return self._missing("RepoNotFound")
        branches = {"main": self.stored[repository]}
        branches |= {
            name.partition("@")[2]: files for name, files in self.stored.items() if name.startswith(f"{repository}@")
        }
        found = branches | {commit(files): files for files in branches.values()}
        return found[revision] if revision in found else self._missing("RevisionNotFound")

    def _body(self) -> bytes:
        """However it is framed: a commit is streamed."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _missing(self, code: str) -> None:
        self._reply({"error": code}, {"X-Error-Code": code}, 404)

    def _reply(self, content: Any, headers: dict[str, str] | None = None, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header(
            "Content-Type", "application/octet-stream" if isinstance(content, bytes) else "application/json"
        )
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")  # a hub that is gone is gone at once
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def _hash(content: bytes) -> str:
    return sha1(content, usedforsecurity=False).hexdigest()


def commit(files: dict[str, bytes]) -> str:
    """What the stand-in calls the commit of these files."""
    return _hash(b"".join(path.encode() + content for path, content in sorted(files.items())))
