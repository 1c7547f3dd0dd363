"""A server like MONAI Label's own, which answers badly where a test wants it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from BrainMVPLib.nrrd import write_nrrd
from heads import oblique

AFFINE = oblique()
LABELS = {"lesion": 2, "rim": 7}


class StockServer(ThreadingHTTPServer):
    """Answers like a stock MONAI Label server with a model for one image, and badly where a test wants it.

    wrong: by path, how: an HTTP status, "slow", "cut" (closes in the middle of the body), "gone" (closes at once);
    proposal: what it answers when asked for the next study; received: the labels in the order in which they came;
    drafts: by study, a label file's bytes and what is noted about it; stored: what it answers to a label; facts: what
    it says of a result; uncertainty: the bytes of an answer, the version it is of and the sequences that looked
    at; models: its versions; problems: of studies, by folder.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.wrong = {}
        self.calls = []
        self.images = {}
        self.labels = {}
        self.received = []
        self.proposal = None
        self.drafts = {}
        self.stored = {}
        self.problems = {}
        self.facts = {}
        self.uncertainty = None
        self.models = None
        self.tokens = set()
        self.result = b""
        self.release = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        pass  # closing early is what some tests want


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self):
        server, path = self.server, self.path.split("?")[0]
        server.calls.append(f"{self.command} {path}")
        server.tokens.add(self.headers.get("Authorization"))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wrong = server.wrong.get(path)
        if wrong == "gone":
            self.close_connection = True
            self.connection.close()
            return None
        if wrong == "slow":
            server.release.wait(20)
        if isinstance(wrong, int):
            return self.send(wrong, b"Internal Server Error", "text/plain")
        if path == "/info/":
            models = {
                "lesions": {"labels": LABELS, "description": "Lesions"},
                "grade": {"labels": {"low": 0, "high": 1}, "type": "classification"},
            }
            facts = {"name": "Stock", "version": "1", "models": models, "strategies": {"random": {}}}
            counts = {"total": len(server.images), "completed": len(server.labels)}
            facts["datastore"] = counts | {"problems": server.problems}
            return self.send(200, json.dumps(facts).encode())
        if path == "/models" and server.models is not None:
            return self.send(200, json.dumps(server.models).encode())
        if path == "/datastore/image/info":
            name = self.path.split("image=")[1]
            return self.send(200 if name in server.images else 404, b"{}")
        if path == "/activelearning/random" and server.proposal:
            return self.send(200, json.dumps(server.proposal).encode())
        if path == "/datastore/image" and self.command == "GET":
            return self.send(200, server.images[self.path.split("image=")[1]])
        if path == "/datastore/image":
            server.images[self.path.split("image=")[1]] = body
            return self.send(200, b"{}")
        if path.startswith("/datastore/label") and self.command == "GET":
            file, notes = server.drafts.get(self.path.split("label=")[1].split("&")[0], (None, None))
            if file is None:
                return self.send(404, b'{"detail": "no label"}')
            return self.send(200, json.dumps(notes).encode() if path.endswith("/info") else file)
        if path == "/uncertainty/lesions" and server.uncertainty:
            content, version, *used = server.uncertainty
            headers = {"X-BrainMVP-Model": version, "X-BrainMVP-Sequences": " ".join(used)}
            return self.send(200, content, "application/gzip", headers)
        if path == "/datastore/label":
            server.labels[self.path.split("image=")[1]] = body
            server.received.append(body)
            return self.send(200, json.dumps(server.stored).encode())
        if path == "/infer/lesions":
            parts = (
                b'--B\r\nContent-Disposition: form-data; name="params"\r\n\r\n'
                + json.dumps(server.facts).encode()
                + b'\r\n--B\r\nContent-Disposition: form-data; name="file"; filename="r.nrrd"\r\n\r\n'
            )
            return self.send(200, parts + server.result + b"\r\n--B--\r\n", "multipart/form-data; boundary=B")
        return self.send(404, b'{"detail": "Not Found"}')

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815  # the names that http.server calls

    def send(self, status, body, kind="application/json", headers=None):
        cut = self.server.wrong.get(self.path.split("?")[0]) == "cut"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = True


def answer(server, folder, affine, values, shape=(10, 12, 14)):
    """Let the server answer inferences with boxes of some values on a grid."""
    labels = np.zeros(shape, np.uint8)
    for number, value in enumerate(values):
        labels[2 + number : 8, 3 + number : 9, 2:9] = value
    server.result = write_nrrd(folder / "answer.nrrd", labels, affine).read_bytes()
    return labels
