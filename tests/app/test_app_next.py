"""Which study comes next, for whom, and why."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from app_server import Server, running, wait_for

from brainmvp.volume import Volume, read_volume, write_volume

WriteStudy = Callable[..., Path]


@pytest.fixture
def studies(tmp_path: Path, write_study: WriteStudy) -> Path:
    for number in range(4):
        write_study(f"p{number}", "T1CE FLAIR", tmp_path / "cohort")
    return tmp_path / "cohort"


@pytest.fixture
def loop(studies: Path, tiny_models: Path) -> Iterator[Server]:
    """A server of its own, on a cohort of four."""
    with running(studies, tiny_models) as server:
        yield server


def proposed(server: Server, strategy: str = "hybrid", **body: object) -> dict:
    answer = server.call("POST", f"/activelearning/{strategy}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def label_for(server: Server, study: str, folder: Path, value: int = 2) -> Path:
    grid = read_volume(server.get_json("/datastore/image/info", image=study)["path"])
    data = np.zeros(grid.shape, np.uint8)
    data[20:26, 20:26, 8:14] = value
    return write_volume(Volume(data, grid.affine), folder / f"label{value}.nii.gz")


def test_no_study_goes_to_two_annotators_and_every_answer_says_why(
    loop: Server, tiny_models: Path, tmp_path: Path
) -> None:
    wait_for(lambda: loop.get_json("/progress")["scored"]["tumour"] == 4)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda name: proposed(loop, annotator=name), "ABCD"))
    given = {answer["lease"]["annotator"]: answer["id"] for answer in answers}
    assert sorted(given.values()) == ["p0", "p1", "p2", "p3"]
    others = proposed(loop, annotator="E")
    assert list(others) == ["why"]
    until = min(answer["lease"]["expires"] for answer in answers)
    assert "Other annotators have all of the studies without a final label, 4" in others["why"]["sentence"]
    assert f"the first comes free at {until}" in others["why"]["sentence"]
    first = answers[0]
    assert set(first["why"]) == {"strategy", "score", "rank", "of", "nearest_labelled", "sentence"}
    assert (first["why"]["strategy"], first["why"]["of"]) == ("hybrid", 4)
    assert Path(first["path"]).is_file()
    assert first["sequences"][first["reference"]]["image"] == f"{first['id']}@T1CE"

    # A finishes: that study never comes again, and it is the labelled one that the others are compared with.
    label = label_for(loop, given["A"], tmp_path)
    params = json.dumps({"task": "tumour", "annotator": "A", "seconds": 61, "model": "tumour@2"})
    loop.label(given["A"], label, params=params).raise_for_status()
    assert "id" not in proposed(loop, annotator="A")
    # B skips, and gets it back only because nothing else is free; a third may have it, too.
    query = {"image": given["B"]}
    assert "is with B until" in loop.refused(
        409, "POST", "/studies/skip", params=query, json={"annotator": "C"}
    )
    skipped = loop.call("POST", "/studies/skip", params=query, json={"annotator": "B", "reason": "moved"})
    assert skipped.json() == {"skipped": given["B"]}
    released = loop.call("POST", "/studies/release", params={"image": given["C"]}, json={"annotator": "C"})
    assert released.json() == {"released": given["C"]}
    for _ in range(2):
        again = proposed(loop, annotator="A")
        assert again["id"] == given["C"]
        assert again["why"]["nearest_labelled"] == given["A"]
    loop.label(given["C"], label_for(loop, given["C"], tmp_path)).raise_for_status()
    assert proposed(loop, annotator="A")["id"] == given["B"]

    # A restart forgets nothing.
    os.kill(loop.pid, signal.SIGTERM)
    with running(loop.studies, tiny_models) as server:
        assert "id" not in proposed(server, annotator="E")


@pytest.mark.parametrize(
    "strategy", ["random", "sequential", "coldstart", "uncertainty", "hybrid", "default"]
)
def test_every_strategy_goes_through_the_cohort(
    server: Server, write_study: WriteStudy, strategy: str
) -> None:
    write_study("next1", "DWI ADC", server.studies)
    write_study("next2", "DWI ADC", server.studies)
    names = {"next1", "next2"}
    got = [proposed(server, strategy, annotator="through", task="stroke")["id"] for _ in range(30)]
    assert names <= set(got)
    for study in set(got):
        query = {"image": study}
        server.call(
            "POST", "/studies/release", params=query, json={"annotator": "through"}
        ).raise_for_status()


def test_stock_clients_name_themselves_by_their_id(server: Server, write_study: WriteStudy) -> None:
    write_study("stockclient", "T1CE FLAIR", server.studies)
    assert proposed(server, "random", client_id="reader-1")["lease"]["annotator"] == "reader-1"
    assert proposed(server, "random")["lease"]["annotator"]


def test_what_is_malformed_is_said(server: Server, write_study: WriteStudy) -> None:
    write_study("said", "FLAIR", server.studies)
    assert "no strategy 'best'" in server.refused(404, "POST", "/activelearning/best")
    assert "no task 'liver'" in server.refused(404, "POST", "/activelearning/random", json={"task": "liver"})
    server.refused(400, "POST", "/activelearning/random", json={"annotator": ["a"]})
    server.refused(404, "POST", "/studies/skip", params={"image": "nobody"}, json={"reason": "x"})
    server.refused(400, "POST", "/studies/skip", params={"image": "said"}, json={"reason": 7})
