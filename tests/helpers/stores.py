"""Where files may lie: servers on the loopback, and a store that all processes see."""

import functools
import http.server
import threading
from contextlib import contextmanager

import fsspec
from fsspec.implementations.local import LocalFileSystem


@contextmanager
def serving(handler):
    """The address of a server on the loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def folder_served(folder):
    """The address of a server of a folder's files."""
    return serving(functools.partial(_Files, directory=str(folder)))


PREFIX = "elsewhere://"


class Elsewhere(LocalFileSystem):
    """As most stores, it keeps what it has listed, until it is told to forget that."""

    protocol = "elsewhere"

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._listed = {}

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix(PREFIX))

    def unstrip_protocol(self, name):
        return PREFIX + self._strip_protocol(name)

    def find(self, path, *args, **options):
        key = ("find", path, str(options))
        if key not in self._listed:
            self._listed[key] = super().find(path, *args, **options)
        return self._listed[key]

    def info(self, path, **options):
        key = ("info", self._strip_protocol(path))
        if key not in self._listed:
            self._listed[key] = super().info(path, **options)
        return self._listed[key]

    def invalidate_cache(self, path=None):
        self._listed.clear()


def register_elsewhere():
    """Make the store known to this process."""
    fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)
