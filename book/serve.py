"""Serve a folder on this machine alone: the book while it is read, and while it is tested.

    python book/serve.py FOLDER PORT
"""

import contextlib
import functools
import http.server
import sys
import threading


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing: a reader has no use for a line a request."""


@contextlib.contextmanager
def served(folder, port=0):
    """The address at which the files below `folder` are served while the context is open; port 0 takes a free one."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    try:
        with served(sys.argv[1], int(sys.argv[2])) as address, contextlib.suppress(KeyboardInterrupt):
            print(f"The book is at {address}/ (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except OSError as error:
        sys.exit(f"Port {sys.argv[2]} cannot be used ({error.strerror}); name another one: make serve PORT=8001")
