"""What the server survives: being killed, a full disk, two clients at once, a damaged model, a deleted study."""

import gzip
import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import requests
from app_server import Server, running, wait_for
from labelled import make_cases

from brainmvp.annotation.state import AnnotationState
from brainmvp.modelstore import ModelStore
from brainmvp.tasks import get_task
from brainmvp.volume import Volume, read_volume, write_volume


@pytest.fixture
def labels(tmp_path: Path) -> dict[str, Path]:
    """A cohort of seven studies in `cohort`, and by study its expert's label, in `expert`."""
    cases = make_cases(get_task("tumour"), 7, tmp_path / "cohort")
    (tmp_path / "expert").mkdir()
    return {case.id: case.label.rename(tmp_path / "expert" / f"{case.id}.nii.gz") for case in cases}


def stored(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and "annotation.sqlite" not in path.name]
    return {str(path): path.read_bytes() for path in files}


def progress(server: Server) -> dict:
    return server.get_json("/train/")["progress"]


def test_a_killed_server_loses_nothing(labels: dict[str, Path], home: Path, tmp_path: Path) -> None:
    names = list(labels)
    before = ModelStore(home).served("tumour")
    with running(tmp_path / "cohort", home, "--conf", "train_after", "6") as server:
        for study in names[:6]:
            server.label(study, labels[study], params='{"annotator": "A", "seconds": 60}').raise_for_status()
        leased = server.call("POST", "/activelearning/hybrid", json={"annotator": "A"}).json()["id"]
        # The sixth label starts a training by itself.
        wait_for(lambda: progress(server)["epoch"] >= 2)
        # A client's stop keeps the work: the next start goes on from there.
        assert server.call("DELETE", "/train/").json()["status"] == "STOPPED"
        stopped = progress(server)
        assert (stopped["state"], stopped["epochs"]) == ("stopped", 8)  # a CPU's budget
        server.call("POST", "/train/tumour", json={}).raise_for_status()
        wait_for(
            lambda: progress(server)["state"] == "training" and progress(server)["epoch"] > stopped["epoch"]
        )
        assert server.get_json("/models")[-1]["version"] == before
        connection = server.begin_label(names[0], labels[names[1]].read_bytes())
        os.kill(server.pid, signal.SIGKILL)
        connection.close()

    with running(tmp_path / "cohort", home) as server:
        # The process of the training notices that its server is gone, and keeps its state.
        wait_for(lambda: progress(server)["state"] in ("stopped", "interrupted"))
        assert "start it again to go on" in progress(server)["message"]
        stored = server.call("GET", f"/datastore/label?label={names[0]}&tag=final")
        assert stored.content == labels[names[0]].read_bytes()
        assert server.get_json("/datastore/")["completed"] == 6
        assert len(server.get_json("/progress")["labels"]) == 6
        assert "id" not in server.call("POST", "/activelearning/hybrid", json={"annotator": "B"}).json()
        assert server.call("POST", "/activelearning/hybrid", json={"annotator": "A"}).json()["id"] == leased
        killed_in_a_change_of_version(server, before)

    with running(tmp_path / "cohort", home) as server:
        served = [m["version"] for m in server.get_json("/models") if m["name"] == "tumour" and m["served"]]
        assert served in ([1], [before])
        server.call("POST", "/models/tumour/serve", json={"version": before}).raise_for_status()
        server.call("POST", "/train/tumour", json={}).raise_for_status()
        # Until the new process begins, the state is still that of the one that was killed.
        wait_for(lambda: progress(server)["state"] == "done")
        assert max(m["version"] for m in server.get_json("/models") if m["name"] == "tumour") == before + 1
        trainings = AnnotationState(server.studies).journal.events("training")
        states = [event.detail["state"] for event in trainings]
        assert states[:2] == ["started", "stopped"]
        assert states[-2:] == ["started", "finished"]
    assert not list((tmp_path / "cohort").rglob(".writing-*"))


def killed_in_a_change_of_version(server: Server, other: int) -> None:
    """Change the served version as fast as the server can, and kill it in between."""
    over, answers, url = Event(), [], f"{server.url}/models/tumour/serve"

    def change() -> None:
        while not over.is_set():
            try:
                for version in (1, other):
                    answer = requests.post(url, json={"version": version}, timeout=20)
                    answers.append(answer.status_code)
            except requests.ConnectionError:
                return

    thread = Thread(target=change)
    thread.start()
    wait_for(lambda: len(answers) >= 3)
    os.kill(server.pid, signal.SIGKILL)
    over.set()
    thread.join()
    assert set(answers) == {200}


def test_trouble_is_said_and_changes_nothing(labels: dict[str, Path], home: Path, tmp_path: Path) -> None:
    names = list(labels)
    with running(tmp_path / "cohort", home, largest_file=300_000) as server:
        # Two clients submit the same study at the same moment: one label is final, the other is kept.
        study, contents = names[0], [labels[names[0]], labels[names[0]].with_name("other.nii.gz")]
        volume = read_volume(contents[0])
        write_volume(Volume(np.where(volume.data == 3, 1, volume.data), volume.affine), contents[1])
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda file: server.label(study, file), contents))
        assert [answer.status_code for answer in answers] == [200, 200]
        kept = [
            server.call("GET", f"/datastore/label?label={study}&tag=final").content,
            server.call("GET", f"/datastore/label/version?image={study}&version=1").content,
        ]
        assert sorted(kept) == sorted(file.read_bytes() for file in contents)

        # The disk is full: nothing is half-written, and the server goes on.
        big = tmp_path / "big.nii"
        big.write_bytes(gzip.decompress(contents[0].read_bytes()) + bytes(400_000))
        before = stored(server.studies)
        assert "disk is full" in server.refused(507, "PUT", "/datastore/label", params={"image": study},
                                                files={"label": (big.name, big.read_bytes())})  # fmt: skip
        assert stored(server.studies) == before

        # A study that was deleted on disk is proposed no more, and says so.
        shutil.rmtree(server.studies / names[1])
        got = {
            server.call("POST", "/activelearning/random", json={"annotator": "A"}).json()["id"]
            for _ in range(9)
        }
        assert got == set(names[2:])
        assert names[1] in server.label(names[1], contents[0]).json()["detail"]
        server.refused(404, "POST", "/studies/skip", params={"image": names[1]}, json={"annotator": "A"})

        # A damaged model file is not served; if it was damaged later, the remedy is named, and it is one call away.
        served, query = ModelStore(home).served("tumour"), {"image": study, "output": "json"}
        weights = home / "models" / "tumour" / str(served) / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        server.call("POST", "/models/tumour/serve", json={"version": 1}).raise_for_status()
        assert server.call("POST", "/infer/tumour", params=query).json()["model"] == "tumour@1"
        assert "damaged" in server.refused(422, "POST", "/models/tumour/serve", json={"version": served})
        (home / "models" / "tumour" / "served.json").write_text(json.dumps({"version": served}))
        assert "restore another version" in server.refused(422, "POST", "/infer/tumour", params=query)
        assert {m["version"] for m in server.get_json("/models") if m["name"] == "tumour"} == {1, served}
        server.call("POST", "/models/tumour/serve", json={"version": 1}).raise_for_status()
        assert server.call("POST", "/infer/tumour", params=query).json()["model"] == "tumour@1"
