"""Fifty annotators at once against a real server, for a minute: errors and waiting times.

Each client asks for the next study and its information, and every fifth time submits a label or looks at the list of
models. The server runs on loopback over a temporary cohort of small studies; the clients are threads of this process,
so on a small computer they share its cores with the server.

    python benchmarks/load.py [--clients 50] [--seconds 60] [--studies 300] [--out result.json]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests

from brainmvp.serve import running_server
from brainmvp.volume import Volume, write_volume

_SHAPE = (24, 28, 24)


def write_cohort(folder: Path, count: int) -> Path:
    """Write small studies of FLAIR and T1CE, and return a label that fits each of them."""
    rng = np.random.default_rng(0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    centre = (np.array(_SHAPE) - 1) / 2
    index = np.stack(np.meshgrid(*map(np.arange, _SHAPE), indexing="ij"), -1)
    inside = (((index - centre) / (centre - 2)) ** 2).sum(-1) < 1
    for number in range(count):
        for sequence in ("flair", "t1ce"):
            data = np.where(inside, 400 + 50 * rng.standard_normal(_SHAPE), 0).astype(np.int16)
            write_volume(Volume(data, affine), folder / f"study-{number:03d}" / f"{sequence}.nii.gz")
    return write_volume(Volume(inside.astype(np.uint8), affine), folder.parent / "label.nii.gz")


class Client:
    """One annotator, who works without a pause until the time is up."""

    def __init__(self, url: str, name: str, label: bytes, end: float) -> None:
        self.url, self.name, self.label, self.end = url, name, label, end
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []

    def work(self) -> "Client":
        session, number = requests.Session(), 0
        while time.monotonic() < self.end:
            study = self.ask(session, "next", "POST", "/activelearning/hybrid", json={"annotator": self.name})
            if study and study.get("id"):
                query = {"image": study["id"]}
                self.ask(session, "info", "GET", "/datastore/image/info", params=query)
                if number % 5 == 4:
                    self.ask(session, "label", "PUT", "/datastore/label", params=query | {"tag": "final"},
                             files={"label": ("label.nii.gz", self.label)})  # fmt: skip
            if number % 5 == 2:
                self.ask(session, "models", "GET", "/models")
            number += 1
        return self

    def ask(
        self, session: requests.Session, kind: str, method: str, path: str, **options: object
    ) -> dict | None:
        begin = time.perf_counter()
        try:
            answer = session.request(method, self.url + path, timeout=120, **options)
            self.seconds[kind].append(time.perf_counter() - begin)
            if answer.status_code == 200:
                return answer.json()
            self.errors.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
        except requests.RequestException as error:
            self.errors.append(f"{kind}: {error!r}")
        return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument(
        "--scoring", action="store_true", help="score the studies meanwhile, as a server does"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not options.scoring:
        os.environ["MONAI_LABEL_TASKS_SCORING"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        label = write_cohort(studies, options.studies).read_bytes()
        with running_server(studies, device="cpu") as server:
            end = time.monotonic() + options.seconds
            clients = [Client(server.url, f"annotator-{n}", label, end) for n in range(options.clients)]
            with ThreadPoolExecutor(options.clients) as pool:
                finished = list(pool.map(Client.work, clients))
    results = summarise(finished)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


def summarise(clients: list[Client]) -> dict:
    """Print and return requests, errors and waiting times by kind of request."""
    results: dict = {
        "clients": len(clients),
        "errors": [error for client in clients for error in client.errors],
    }
    for kind in ("next", "info", "label", "models"):
        waits = sorted(wait for client in clients for wait in client.seconds[kind])
        if waits:
            p99 = waits[min(int(0.99 * len(waits)), len(waits) - 1)]
            results[kind] = {"requests": len(waits), "median_s": statistics.median(waits), "p99_s": p99}
            print(
                f"{kind:>7}: {len(waits)} requests, median {statistics.median(waits):.3f} s, p99 {p99:.3f} s"
            )
    print(f"{len(results['errors'])} errors", *results["errors"][:5], sep="\n")
    return results


if __name__ == "__main__":
    sys.exit(main())
