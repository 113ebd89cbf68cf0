"""A stand-in for the Hugging Face Hub on the loopback, as far as reading needs."""

import http.server
import json
from collections.abc import Mapping
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

from loopback import serving

REPOSITORY = "me/lake"


@contextmanager
def cloud(files):
    """The address of a server that has these files in a data set."""
    with serving(type("Handler", (_Handler,), {"files": dict(files)})) as address:
        yield address


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: Mapping[str, bytes]

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        path, asked = unquote(url.path), {key: values[0] for key, values in parse_qs(url.query).items()}
        if path == f"/api/datasets/{REPOSITORY}":
            self._say({"id": REPOSITORY, "sha": "a" * 40, "private": False})
        elif path.startswith(f"/api/datasets/{REPOSITORY}/tree/main"):
            self._tree(path.partition("/tree/main")[2].strip("/"), asked.get("recursive") == "true")
        elif path.startswith(f"/datasets/{REPOSITORY}/resolve/main/"):
            self._content(path.partition("/resolve/main/")[2])
        else:
            self._missing()

    do_HEAD = do_GET

    def _tree(self, folder, below):
        """The Hub's listing of a folder."""
        prefix = f"{folder}/" if folder else ""
        inside = [name for name in self.files if name.startswith(prefix)]
        folders = {prefix + name[len(prefix) :].split("/")[0] for name in inside if "/" in name[len(prefix) :]}
        said = [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in sorted(folders)]
        said += [
            {"type": "file", "path": name, "oid": "1" * 40, "size": len(self.files[name])}
            for name in inside
            if below or "/" not in name[len(prefix) :]
        ]
        self._say(said) if inside else self._missing()

    def _content(self, name):
        if name not in self.files:
            self._missing()
            return
        data, code, headers = self.files[name], 200, {"ETag": '"x"', "X-Repo-Commit": "a" * 40}
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
            data, code = data[int(first) : end + 1], 206
        self._send(code, data, headers)

    def _say(self, what):
        self._send(200, json.dumps(what).encode(), {"Content-Type": "application/json"})

    def _missing(self):
        said = json.dumps({"error": {"code": 404, "message": "not found"}}).encode()
        self._send(404, said, {"X-Error-Code": "EntryNotFound", "Content-Type": "application/json"})

    def _send(self, code, data, headers):
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
