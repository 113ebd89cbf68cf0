"""Servers on the loopback, for tests of downloads."""

import functools
import http.server
import threading
from contextlib import contextmanager


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
