"""A server on this machine with the part of the hub's protocol that a download needs.

``python hub_server.py FOLDER`` serves FOLDER as the model "org/tiny-model", prints its address, and
writes a line for each request to stderr. "org/private" needs the token "secret".
"""

from __future__ import annotations

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.respond(with_body=False)

    def do_GET(self) -> None:
        self.respond(with_body=True)

    def respond(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        parts = path.strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        repo = "/".join(parts[2:4] if is_api else parts[:2])
        if repo == "org/private" and self.headers.get("Authorization") == "Bearer secret":
            repo = "org/tiny-model"
        if repo != "org/tiny-model":
            return self.refuse(401, "RepoNotFound")
        revision = (parts[5:6] if is_api else parts[3:4]) or ["main"]
        if revision[0] not in ("main", "v1", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        if is_api:
            return self.answer(json.dumps(self.listing(parts)).encode(), {}, with_body)
        file = FOLDER / "/".join(parts[4:])
        if not file.is_file():
            return self.refuse(404, "EntryNotFound", {"X-Repo-Commit": COMMIT})
        data = file.read_bytes()
        etag = hashlib.sha256(data).hexdigest()
        return self.answer(data, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, with_body)

    def listing(self, parts: list[str]) -> object:
        files = sorted(path for path in FOLDER.rglob("*") if path.is_file())
        names = [str(path.relative_to(FOLDER)) for path in files]
        if "tree" in parts:
            pairs = zip(names, files, strict=True)
            return [
                {"type": "file", "path": n, "size": f.stat().st_size, "oid": "0" * 40}
                for n, f in pairs
            ]
        siblings = [{"rfilename": name} for name in names]
        return {"_id": "1", "id": "org/tiny-model", "sha": COMMIT, "siblings": siblings}

    def refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self.answer(b"{}", {"X-Error-Code": code, **(headers or {})}, self.command == "GET", status)

    def answer(
        self, body: bytes, headers: dict[str, str], with_body: bool, status: int = 200
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print(self.command, self.path, file=sys.stderr, flush=True)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
