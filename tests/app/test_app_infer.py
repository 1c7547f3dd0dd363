"""Inference over REST: the result lies where the study lies and says what it rests on."""

import gzip
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests
from app_server import Server, infer

from brainmvp.annotation.state import AnnotationState
from brainmvp.card import Card
from brainmvp.modelstore import Model, ModelStore
from brainmvp.volume import read_volume

NewStudy = Callable[[str], str]


def parts_of(answer: requests.Response) -> dict[str, bytes]:
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + answer.content)
    return {
        p.get_param("name", header="content-disposition"): p.get_payload(decode=True)
        for p in message.iter_parts()
    }


def test_the_result_lies_on_the_grid_of_the_image_with_the_same_affine(
    server: Server, new_study: NewStudy
) -> None:
    study = new_study("T1CE T1 T2 FLAIR")
    answer = infer(server, study, output="image")
    label = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    reference = nib.load(server.get_json("/datastore/image/info", image=study)["path"])
    assert label.shape == reference.shape
    assert np.array_equal(label.affine, reference.affine)
    assert set(np.unique(np.asarray(label.dataobj))) <= {0, 1, 2, 3}


def test_the_answer_states_what_the_result_rests_on(
    server: Server, new_study: NewStudy, tiny_models: Path
) -> None:
    facts = infer(server, new_study("T1CE T1 FLAIR")).json()
    assert facts["model"] == ModelStore(tiny_models).resolve("tumour").card.id
    assert facts["reference"] == "T1CE"
    assert facts["sequences_used"] == ["T1", "T1CE", "FLAIR"]
    assert facts["sequences_filled"] == ["T2"]
    assert facts["left_out"] == {}
    assert facts["label_names"]["Enhancing tumour"] == 3
    assert facts["volumes_ml"].keys() == facts["label_names"].keys()
    assert 0 <= facts["uncertainty"]["mean"] <= 1
    assert {"read", "align", "resample", "network", "restore", "write", "total"} <= facts["latencies"].keys()


def test_the_volumes_are_those_of_the_label(server: Server, new_study: NewStudy, tmp_path: Path) -> None:
    answer = infer(server, new_study("T1CE T1 T2 FLAIR"), output="all", result_extension=".nrrd")
    parts = parts_of(answer)
    facts = json.loads(parts["params"])
    (tmp_path / "label.nrrd").write_bytes(parts["image"])
    label = read_volume(tmp_path / "label.nrrd")
    assert facts["volumes_ml"] and facts["volumes_ml"].keys() == facts["label_names"].keys()
    for name, value in facts["label_names"].items():
        assert facts["volumes_ml"][name] == pytest.approx(
            (label.data == value).sum() * label.voxel_ml, abs=2e-3
        )


def test_structures_that_cannot_be_seen_are_not_offered(server: Server, new_study: NewStudy) -> None:
    facts = infer(server, new_study("T1 FLAIR")).json()
    assert "T1CE" in facts["left_out"]["ET"]
    assert list(facts["regions_ml"]) == ["WT"]


def test_a_sequence_of_the_study_can_be_the_reference(server: Server, new_study: NewStudy) -> None:
    study = new_study("T1CE T1 T2 FLAIR")
    label = nib.Nifti1Image.from_bytes(gzip.decompress(infer(server, f"{study}@T2", output="image").content))
    reference = nib.load(server.studies / study / f"{study}_t2.nii.gz")
    assert label.shape == reference.shape
    assert np.array_equal(label.affine, reference.affine)


def test_what_a_sequence_shows_that_is_left_out_is_not_offered(server: Server, new_study: NewStudy) -> None:
    study = new_study("T1CE T1 FLAIR")
    facts = infer(server, f"{study}@FLAIR", sequences=["T1", "FLAIR"]).json()
    assert (facts["reference"], facts["sequences_used"]) == ("FLAIR", ["T1", "FLAIR"])
    assert set(facts["left_out"]) == {"TC", "ET"}


def test_stroke_works_without_flair(server: Server, new_study: NewStudy) -> None:
    facts = infer(server, new_study("DWI ADC"), "stroke").json()
    assert facts["sequences_filled"] == ["FLAIR"]
    assert list(facts["label_names"].values()) == [1]


def test_a_segmentation_for_slicer_has_names_and_colours(
    server: Server, new_study: NewStudy, tmp_path: Path
) -> None:
    import nrrd

    answer = infer(server, new_study("T1CE FLAIR"), output="image", result_extension=".seg.nrrd")
    (tmp_path / "a.seg.nrrd").write_bytes(answer.content)
    header = nrrd.read_header(str(tmp_path / "a.seg.nrrd"))
    assert header["Segment2_ID"] == "ET"
    assert header["Segment2_LabelValue"] == "3"


def test_a_saved_label_is_listed_with_its_model(
    server: Server, new_study: NewStudy, tiny_models: Path
) -> None:
    study = new_study("T1CE FLAIR")
    assert infer(server, study, save_label=True, label_tag="proposal").status_code == 200
    info = server.get_json("/datastore/label/info", label=study, tag="proposal")
    assert info["params"]["model"] == ModelStore(tiny_models).resolve("tumour").card.id


def test_a_final_label_that_a_model_made_is_one_of_its_task(server: Server, new_study: NewStudy) -> None:
    study = new_study("T1CE FLAIR T2 DWI")
    answer = infer(server, study, "stroke", save_label=True, label_tag="final")
    assert answer.status_code == 200, answer.text
    (event,) = (e for e in AnnotationState(server.studies).journal.events("final") if e.study == study)
    assert (event.task, event.annotator) == ("stroke", "")
    server.call("DELETE", "/datastore/image", params={"id": study}).raise_for_status()


def test_only_a_label_on_the_reference_can_be_saved(server: Server, new_study: NewStudy) -> None:
    study = new_study("T1CE FLAIR")
    answer = infer(server, f"{study}@FLAIR", save_label=True)
    assert answer.status_code == 409
    assert "lie on its T1CE" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("model", "sequences", "params", "status", "sentence"),
    [
        ("stroke", "T1CE FLAIR", {}, 422, "the stroke task needs DWI"),
        ("liver", "FLAIR", {}, 404, "the models are: stroke, tumour"),
        ("tumour", "FLAIR", {"result_extension": "/../x"}, 400, "result_extension"),
        ("tumour", "FLAIR", {"device": "cuda:99"}, 400, "'cuda:99' is not a device"),
        ("tumour", "FLAIR", {"device": {"a": 1}}, 400, "is not a device"),
        ("tumour", "FLAIR", {"sequences": ["../x"]}, 400, 'a list such as ["T1", "FLAIR"]'),
        ("tumour", "FLAIR", {"sequences": ["T2", "FLAIR"]}, 404, "has no T2; it has FLAIR."),
        ("tumour", "T1CE FLAIR", {"sequences": ["FLAIR"]}, 400, "@FLAIR"),
        ("tumour", "FLAIR", {"save_label": True, "annotator": 5}, 400, "annotator has to be a name"),
    ],
)
def test_what_cannot_be_done_is_said(
    server: Server, new_study: NewStudy, model: str, sequences: str, params: dict, status: int, sentence: str
) -> None:
    answer = infer(server, new_study(sequences), model, **params)
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]


def test_dicom_seg_is_refused_at_once(server: Server, new_study: NewStudy) -> None:
    assert infer(server, new_study("FLAIR"), output="dicom_seg").status_code == 400


@pytest.mark.parametrize("device", ["cpu", ["cpu"], "cuda", ""])
def test_the_devices_that_clients_name_are_understood(
    server: Server, new_study: NewStudy, device: Any
) -> None:
    assert infer(server, new_study("FLAIR"), device=device).status_code == 200


def test_the_server_answers_others_during_inferences(server: Server, new_study: NewStudy) -> None:
    studies = [new_study("T1CE T1 T2 FLAIR") for _ in range(4)]
    alone = [infer(server, study).json()["volumes_ml"] for study in studies]
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(infer, server, study) for study in studies]
        waits = []
        while not all(future.done() for future in running):
            begin = time.perf_counter()
            server.get_json("/datastore/image/info", image=studies[0])
            waits.append(time.perf_counter() - begin)
    assert [future.result().json()["volumes_ml"] for future in running] == alone
    total = max(future.result().json()["latencies"]["total"] for future in running)
    assert len(waits) > 3
    assert max(waits) < total


def test_inferences_that_wait_for_their_turn_keep_nobody_else_waiting(
    server: Server, new_study: NewStudy
) -> None:
    study = new_study("FLAIR")
    with ThreadPoolExecutor(60) as pool:
        running = [pool.submit(infer, server, study) for _ in range(60)]
        ended, meanwhile = 0, []
        while ended < len(running):
            server.get_json("/info/")
            before, ended = ended, sum(future.done() for future in running)
            meanwhile.append(ended - before)
    assert {future.result().status_code for future in running} == {200}
    assert max(meanwhile) < 10


def with_newer_version(store: ModelStore) -> tuple[Model, Card]:
    """Add the served tumour model's weights again as its next version; return the served one and the card of that."""
    first = store.resolve("tumour")
    newer = first.card.model_copy(update={"version": store.next_version("tumour"), "parent": first.card.id})
    store.add(newer, first.load_weights())
    return first, newer


def test_a_newly_served_version_is_used_without_a_restart(
    server: Server, new_study: NewStudy, tiny_models: Path
) -> None:
    study, store = new_study("T1CE FLAIR"), ModelStore(tiny_models)
    first, newer = with_newer_version(store)
    store.serve("tumour", newer.version)
    try:
        assert infer(server, study).json()["model"] == newer.id
    finally:
        store.serve("tumour", first.card.version)
    assert infer(server, study).json()["model"] == first.card.id


def test_an_inference_ends_with_the_version_that_it_began_with(
    server: Server, new_study: NewStudy, tiny_models: Path
) -> None:
    study, store = new_study("T1CE T1 T2 FLAIR"), ModelStore(tiny_models)
    first, newer = with_newer_version(store)
    waiting = ("", "Fetching the images", "Waiting for other inferences")
    changed_meanwhile = False
    with ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            running, step = pool.submit(infer, server, study), ""
            while step in waiting and not running.done():
                step = server.get_json("/infer/tumour/progress", image=study).get("step", "")
            server.call("POST", "/models/tumour/serve", json={"version": newer.version}).raise_for_status()
            changed_meanwhile = step not in waiting and not running.done()
            told = running.result().json()["model"]
            after = infer(server, study).json()["model"]
            store.serve("tumour", first.card.version)
            assert (told, after) == (first.card.id, newer.id)
            if changed_meanwhile:
                break
    assert changed_meanwhile


def test_batch_inference_goes_on_after_a_study_it_cannot_do(server: Server, new_study: NewStudy) -> None:
    good, bad = new_study("DWI ADC"), new_study("T1CE")
    body = {"images": [good, bad], "label_tag": "batch"}
    answer = server.call("POST", "/batch/infer/stroke", params={"run_sync": "true"}, json=body).json()
    assert answer[good]["label"] == good
    assert "needs DWI" in answer[bad]["error"]
    assert (server.studies / "labels" / "batch" / f"{good}.nii.gz").is_file()
