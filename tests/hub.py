"""A stand-in for the Hugging Face hub's HTTP API, as far as fetching a snapshot needs it.

MOCK: the real hub is not to be reached from every machine that runs the tests. The client is the real one
(huggingface_hub), pointed here by HF_ENDPOINT.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Repositories = dict[str, dict[str, bytes]]
"""Files by path, by repository, such as "datasets/org/name" or "models/org/name"."""


@contextmanager
def serving(repositories: Repositories) -> Iterator[str]:
    """The stand-in's address."""

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
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/"):
            return self._repository(path.removeprefix("api/").split("/"))
        name, _, rest = path.partition("/resolve/")
        file = rest.partition("/")[2]
        files = self.stored.get(name if name.startswith("datasets/") else f"models/{name}")
        if files is None:
            return self._missing("RepoNotFound")
        if file not in files:
            return self._missing("EntryNotFound")
        return self._reply(files[file], {"X-Repo-Commit": _commit(files), "ETag": f'"{_hash(files[file])}"'})

    do_HEAD = do_GET

    def _repository(self, parts: list[str]) -> None:
        files = self.stored.get("/".join(parts[:3]))
        if files is None:
            return self._missing("RepoNotFound")
        if len(parts) > 3 and parts[3] == "tree":
            tree = [{"type": "file", "path": p, "oid": _hash(b), "size": len(b)} for p, b in files.items()]
            return self._reply(tree)
        siblings = [{"rfilename": path} for path in files]
        return self._reply({"id": "/".join(parts[1:3]), "sha": _commit(files), "siblings": siblings})

    def _missing(self, code: str) -> None:
        self._reply({"error": code}, {"X-Error-Code": code}, 404)

    def _reply(self, content: Any, headers: dict[str, str] | None = None, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header(
            "Content-Type", "application/octet-stream" if isinstance(content, bytes) else "application/json"
        )
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def _hash(content: bytes) -> str:
    return sha1(content, usedforsecurity=False).hexdigest()


def _commit(files: dict[str, bytes]) -> str:
    return _hash(b"".join(path.encode() + content for path, content in sorted(files.items())))
