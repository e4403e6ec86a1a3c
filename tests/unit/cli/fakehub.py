"""A loopback server that speaks the few routes by which the hub's client reads a model; tests see what was asked."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

COMMIT = "3" * 40
TREE = re.compile(r"/api/models/([^/]+/[^/]+)/tree/([^/?]+)")
INFO = re.compile(r"/api/models/([^/]+/[^/]+)")
FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Hub:
    """Repositories with one commit each; `status` and `gated` make it refuse."""

    files: dict[str, dict[str, bytes]]
    status: dict[str, int] = field(default_factory=dict)
    """Repository to the HTTP status of every answer about it."""
    gated: set[str] = field(default_factory=set)
    """Repositories whose files (not their listing) are refused."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sent(self) -> list[str]:
        """Return the names of the files whose contents were sent."""
        return sorted(unquote(m[3]) for verb, path in self.asked if verb == "GET" and (m := FILE.fullmatch(path)))

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        tree, file, info = (pattern.fullmatch(path) for pattern in (TREE, FILE, INFO))
        found = tree or file or info
        if found is None:
            return 404, {}, b"{}"
        files = self.files.get(found[1])
        if found[1] in self.status:
            return self.status[found[1]], {}, b'{"error": "not today"}'
        if files is None:
            return 404, {"X-Error-Code": "RepoNotFound"}, b'{"error": "Repository not found"}'
        if tree is None and file is None:
            return 200, {}, json.dumps({"id": found[1], "sha": COMMIT}).encode()
        if found[2] != COMMIT:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b'{"error": "Invalid rev id"}'
        if tree:
            return 200, {}, json.dumps([_entry(n, raw) for n, raw in files.items()]).encode()
        if found[1] in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b'{"error": "Access is restricted"}'
        raw = files[found[3]]
        return 200, {"ETag": f'"{_blob(raw)}"', "X-Repo-Commit": COMMIT, "X-Linked-Size": str(len(raw))}, raw

    def __enter__(self) -> Hub:
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = unquote(urlsplit(self.path).path)
                if any(pattern.fullmatch(path) for pattern in (TREE, FILE, INFO)):
                    hub.asked.append((self.command, path))
                    hub.tokens.add(self.headers.get("Authorization"))
                status, headers, raw = hub.answer(path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(raw)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def _blob(raw: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()


def _entry(name: str, raw: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(raw), "oid": _blob(raw)}
