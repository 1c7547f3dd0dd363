"""A real Orthanc on loopback for the tests, with its DICOMweb plugin and an empty store."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from brainmvp.serve import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass
class Archive:
    """Orthanc, and what the tests do with it over its own REST interface."""

    url: str
    command: list[str]
    log: Path
    process: subprocess.Popen | None = None

    @property
    def dicom_web(self) -> str:
        return f"{self.url}/dicom-web"

    def start(self) -> None:
        """Start the archive and wait until it answers."""
        with self.log.open("a") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT)
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                requests.get(f"{self.url}/system", timeout=5).raise_for_status()
                return
            except requests.RequestException:
                time.sleep(0.1)
        raise AssertionError("Orthanc did not start:\n" + self.log.read_text("utf-8", "replace")[-3000:])

    def stop(self) -> None:
        """Stop the archive."""
        self.process.terminate()
        self.process.wait(30)

    def send(self, folder: Path) -> None:
        """Store every file of a folder."""
        for path in sorted(folder.rglob("*.dcm")):
            answer = requests.post(f"{self.url}/instances", data=path.read_bytes(), timeout=60)
            assert answer.status_code == 200, answer.text

    def get(self, path: str) -> Any:
        """Return a JSON answer of Orthanc's REST interface."""
        answer = requests.get(self.url + path, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def series_of(self, study_uid: str, modality: str) -> list[dict[str, Any]]:
        """Return the series of a modality in a study."""
        found = [self.get(f"/series/{one}") for one in self.get("/series")]
        studies = {s["ID"]: s["MainDicomTags"]["StudyInstanceUID"] for s in map(self._study, found)}
        return [
            one
            for one in found
            if one["MainDicomTags"]["Modality"] == modality and studies[one["ParentStudy"]] == study_uid
        ]

    def _study(self, series: dict[str, Any]) -> dict[str, Any]:
        return self.get(f"/studies/{series['ParentStudy']}")


@contextmanager
def running_archive(folder: Path) -> Iterator[Archive]:
    """Run Orthanc while the block runs; skips the test where it is not installed."""
    program = shutil.which("Orthanc")
    if not program or not PLUGIN.is_file():
        pytest.skip("Orthanc is not installed (Debian packages orthanc and orthanc-dicomweb)")
    port = free_port()
    configuration = folder / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "store"),
                "IndexDirectory": str(folder / "store"),
                "HttpPort": port,
                "DicomServerEnabled": False,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "Plugins": [str(PLUGIN)],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    archive = Archive(f"http://127.0.0.1:{port}", [program, str(configuration)], folder / "orthanc.log")
    archive.start()
    try:
        yield archive
    finally:
        archive.stop()
