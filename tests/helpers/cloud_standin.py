"""A stand-in for the Hugging Face Hub on the loopback, as far as reading needs."""

import http.server
import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from loopback import serving

REPOSITORY = "me/lake"
API, CONTENT = f"/api/datasets/{REPOSITORY}", f"/datasets/{REPOSITORY}/resolve/main/"


@contextmanager
def cloud(files):
    """The address of a server that has these files in a data set."""
    with tempfile.TemporaryDirectory() as room:
        for name, data in files.items():
            path = Path(room, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with serving(type("Handler", (_Handler,), {"room": Path(room)})) as address:
            yield address


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        path = unquote(url.path)
        if path == API:
            self._say({"id": REPOSITORY, "sha": "a" * 40, "private": False})
        elif path.startswith(f"{API}/tree/main"):
            self._tree(path.removeprefix(f"{API}/tree/main").strip("/"), "recursive=true" in url.query.lower())
        elif (file := self.room / path.removeprefix(CONTENT)).is_file():
            self._content(file.read_bytes())
        else:
            self._missing()

    do_HEAD = do_GET

    def _tree(self, folder, below):
        """The Hub's listing of a folder."""
        found = [
            {
                "type": "directory" if path.is_dir() else "file",
                "path": path.relative_to(self.room).as_posix(),
                "oid": "1" * 40,
                "size": path.stat().st_size,
            }
            for path in sorted((self.room / folder).glob("**/*" if below else "*"))
        ]
        self._say(found) if found else self._missing()

    def _content(self, data):
        code, headers = 200, {"ETag": '"x"', "X-Repo-Commit": "a" * 40}
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            code, size, data = 206, len(data), data[int(first) : int(last or len(data)) + 1]
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(data) - 1}/{size}"
        self._send(code, data, headers)

    def _say(self, what):
        self._send(200, json.dumps(what).encode(), {"Content-Type": "application/json"})

    def _missing(self):
        self._send(404, b"{}", {"X-Error-Code": "EntryNotFound", "Content-Type": "application/json"})

    def _send(self, code, data, headers):
        self.send_response(code)
        for name, value in {**headers, "Content-Length": len(data)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
