"""What spares a client time: checksums, and the uncertainty of the last result."""

import gzip
import hashlib
from types import SimpleNamespace

import nibabel as nib
import numpy as np

from brainmvp.volume import Volume


def test_the_checksum_is_that_of_the_stored_bytes(server, new_study):
    study = new_study("FLAIR T1")
    stored = server.call("GET", "/datastore/image", params={"image": f"{study}@T1"}).content
    told = server.get_json("/datastore/image/checksum", image=f"{study}@T1")
    assert told["sha256"] == hashlib.sha256(stored).hexdigest()
    assert told["bytes"] == len(stored)
    assert "no T2" in server.refused(404, "GET", "/datastore/image/checksum", params={"image": f"{study}@T2"})


def test_an_image_that_is_here_is_taken_into_another_study_without_being_sent(server, new_study):
    study = new_study("FLAIR T1")
    query = {"image": f"{study}-2", "sequence": "T1", "source": f"{study}@T1"}
    server.call("PUT", "/datastore/image/copy", params=query).raise_for_status()
    for _ in range(2):  # asking twice changes nothing
        sums = [
            server.get_json("/datastore/image/checksum", image=f"{s}@T1")["sha256"]
            for s in (study, f"{study}-2")
        ]
        assert sums[0] == sums[1]
        server.call("PUT", "/datastore/image/copy", params=query).raise_for_status()
    before = server.files()
    for changes, status, says in (
        ({"source": f"{study}@T2"}, 404, "no T2"), ({"sequence": "X"}, 400, "not a sequence"),
        ({"image": "../out"}, 400, "not a name"), ({"source": f"{study}@FLAIR"}, 409, "another T1"),
    ):  # fmt: skip
        assert says in server.refused(status, "PUT", "/datastore/image/copy", params=query | changes)
    assert server.files() == before


def test_the_uncertainty_lies_on_the_result_s_grid_and_names_the_version(server, new_study):
    study = new_study("FLAIR T1CE")
    query = {"image": f"{study}@FLAIR"}
    assert "segment it again" in server.refused(404, "GET", "/uncertainty/tumour", params=query)
    answer = server.call("POST", "/infer/tumour", params=query | {"output": "json"})
    assert answer.status_code == 200, answer.text
    uncertain = server.call("GET", "/uncertainty/tumour", params=query)
    assert uncertain.headers["X-BrainMVP-Model"] == answer.json()["model"]
    assert uncertain.headers["X-BrainMVP-Sequences"] == "T1CE FLAIR"
    image = nib.Nifti1Image.from_bytes(gzip.decompress(uncertain.content))
    flair = nib.load(server.get_json("/datastore/image/info", **query)["path"])
    assert image.shape == flair.shape
    np.testing.assert_array_equal(image.affine, flair.affine)
    assert 0 < image.get_fdata().max() <= 1
    assert server.get_json("/infer/tumour/progress", **query) == {}


def test_the_uncertainty_of_a_draft_outlasts_those_of_thirty_colleagues():
    from brainmvp_app.recent import Recent

    recent = Recent()
    first = np.asfortranarray(np.random.default_rng(0).integers(0, 256, (3, 4, 5)) / 255)
    labels = Volume(np.zeros((3, 4, 5)), np.diag([1.0, 2.0, 3.0, 1.0]))
    for number in range(30):
        result = SimpleNamespace(model="m@1", used=("T1",), uncertainty=first / (1 + number), labels=labels)
        recent.keep(f"p{number}", result)
    model, used, volume = recent.uncertainty("p0")
    assert (model, used) == ("m@1", ["T1"])
    np.testing.assert_allclose(volume.data, first, atol=1e-6)
    assert np.array_equal(volume.affine, labels.affine)
