"""Which study comes next."""

from collections.abc import Callable
from pathlib import Path

from app_server import Server

NewStudy = Callable[[str], str]


def proposed(server: Server) -> dict:
    answer = server.call("POST", "/activelearning/random", json={"client_id": "reader-1"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_study_is_proposed_before_one_comes_again(server: Server, new_study: NewStudy) -> None:
    for _ in range(3):
        new_study("FLAIR")
    objects = server.get_json("/datastore/", output="all")["objects"]
    open_studies = {study for study, entry in objects.items() if "final" not in entry["labels"]}
    fresh = {s for s in open_studies if "strategy" not in objects[s]["image"]["info"]}
    assert len(fresh) >= 3
    assert {proposed(server)["id"] for _ in fresh} == fresh


def test_a_labelled_study_is_not_proposed(
    server: Server, new_study: NewStudy, write_label: Callable[..., Path]
) -> None:
    study = new_study("FLAIR")
    server.label(study, write_label(study)).raise_for_status()
    total = server.get_json("/datastore/")["total"]
    assert study not in {proposed(server)["id"] for _ in range(total)}


def test_the_proposal_carries_what_a_client_needs_to_load_it(server: Server, new_study: NewStudy) -> None:
    new_study("T1CE FLAIR")
    sample = proposed(server)
    assert Path(sample["path"]).is_file()
    assert sample["name"].endswith((".nii.gz", ".nrrd", ".mha"))
    entry = sample["sequences"][sample["reference"]]
    answer = server.call("GET", "/datastore/image", params={"image": entry["image"]})
    assert answer.content == Path(sample["path"]).read_bytes()
