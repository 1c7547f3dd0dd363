"""Model versions over REST, labels that were replaced, and the history."""

import json
from collections.abc import Callable
from pathlib import Path

from app_server import Server

from brainmvp.modelstore import ModelStore

NewStudy = Callable[[str], str]
WriteLabel = Callable[..., Path]


def test_versions_are_listed_and_served(server: Server, tiny_models: Path) -> None:
    served = ModelStore(tiny_models).served("tumour")
    listed = {(entry["name"], entry["version"]): entry for entry in server.get_json("/models")}
    assert listed["tumour", served]["served"]
    assert not listed["tumour", 1]["served"]
    assert listed["tumour", 1]["built_in"]
    try:
        answer = server.call("POST", "/models/tumour/serve", json={"version": 1})
        assert (answer.json()["version"], answer.json()["served"]) == (1, True)
        assert ModelStore(tiny_models).served("tumour") == 1
        assert ModelStore(tiny_models).before("tumour") == served
    finally:
        server.call("POST", "/models/tumour/serve", json={"version": served}).raise_for_status()
    assert server.get_json("/progress")["versions"][-1]["model"] == f"tumour@{served}"
    (ModelStore(tiny_models).root / "tumour" / "served.json").write_text("{")
    server.call("POST", "/models/tumour/serve", json={"version": served}).raise_for_status()
    assert ModelStore(tiny_models).served("tumour") == served
    assert "no version 99" in server.refused(404, "POST", "/models/tumour/serve", json={"version": 99})
    server.refused(404, "POST", "/models/liver/serve", json={"version": 1})
    server.refused(400, "POST", "/models/tumour/serve", json={"version": "1"})


def test_versions_are_compared(server: Server, tiny_models: Path) -> None:
    served = ModelStore(tiny_models).served("tumour")
    result = server.get_json("/models/tumour/compare", a="1", b=str(served))
    assert (result["a"]["version"], result["b"]["version"]) == (1, served)
    assert "not both measured" in result["held_out"]["sentence"]
    server.refused(404, "GET", "/models/tumour/compare", params={"a": 1, "b": 77})


def test_a_replaced_label_is_kept(server: Server, new_study: NewStudy, write_label: WriteLabel) -> None:
    study = new_study("T1CE FLAIR")
    first, notes = write_label(study, (1,)), json.dumps({"annotator": "first", "seconds": 12})
    content = first.read_bytes()
    server.label(study, first, params=notes).raise_for_status()
    server.label(study, first, params=notes).raise_for_status()  # sent twice: no version of its own
    server.label(
        study, write_label(study, (2,), ".nrrd"), params='{"annotator": "second"}'
    ).raise_for_status()
    info = server.get_json("/datastore/label/info", label=study, tag="final")
    assert info["annotator"] == "second"
    assert [(entry["version"], entry["annotator"]) for entry in info["versions"]] == [(1, "first")]
    query = {"image": study, "version": 1}
    assert server.call("GET", "/datastore/label/version", params=query).content == content
    assert "there are: 1" in server.refused(
        404, "GET", "/datastore/label/version", params=query | {"version": 2}
    )

    server.call("DELETE", "/datastore/label", params={"id": study, "tag": "final"}).raise_for_status()
    assert server.call("GET", "/datastore/label/version", params=query | {"version": 2}).status_code == 200


def test_a_final_label_puts_the_draft_away(
    server: Server, new_study: NewStudy, write_label: WriteLabel
) -> None:
    study = new_study("T1CE FLAIR")
    draft = write_label(study, (1,))
    content = draft.read_bytes()
    server.label(study, draft, "draft", '{"annotator": "A"}').raise_for_status()
    server.label(study, write_label(study, (2,)), params='{"annotator": "A"}').raise_for_status()
    assert list(server.get_json("/datastore/", output="all")["objects"][study]["labels"]) == ["final"]
    query = {"image": study, "version": 1, "tag": "draft"}
    assert server.call("GET", "/datastore/label/version", params=query).content == content


def test_the_history_names_who_labelled_what(
    server: Server, new_study: NewStudy, write_label: WriteLabel
) -> None:
    study, other = new_study("T1CE FLAIR"), new_study("T1CE FLAIR")
    notes = json.dumps({"annotator": "Historian", "seconds": 90, "model": "tumour@2"})
    server.label(study, write_label(study), params=notes).raise_for_status()
    (server.studies / "labels" / "final" / f"{other}.nii.gz").write_bytes(write_label(other).read_bytes())
    server.call(
        "POST", "/studies/skip", params={"image": other}, json={"reason": "moved", "annotator": "Historian"}
    )
    told = server.get_json("/progress")
    label = next(entry for entry in told["labels"] if entry["study"] == study)
    assert (label["annotator"], label["seconds"], label["model"]) == ("Historian", 90, "tumour@2")
    assert next(entry for entry in told["labels"] if entry["study"] == other)["annotator"] is None
    assert told["annotators"]["Historian"] == {"final": 1, "draft": 0, "skipped": 1, "median_seconds": 90}
    assert told["skipped"][-1]["reason"] == "moved"
    server.refused(400, "PUT", "/datastore/label", params={"image": study}, data={"params": '{"seconds": -1}'},
                   files={"label": ("a.nii.gz", write_label(study).read_bytes())})  # fmt: skip
