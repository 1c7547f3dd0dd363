"""What spares a client time: checksums, and the uncertainty of the last result."""

import gzip
import hashlib

import nibabel as nib
import numpy as np


def test_the_checksum_is_that_of_the_stored_bytes(server, new_study):
    study = new_study("FLAIR T1")
    stored = server.call("GET", "/datastore/image", params={"image": f"{study}@T1"}).content
    told = server.get_json("/datastore/image/checksum", image=f"{study}@T1")
    assert told["sha256"] == hashlib.sha256(stored).hexdigest()
    assert told["bytes"] == len(stored)
    assert "no T2" in server.refused(404, "GET", "/datastore/image/checksum", params={"image": f"{study}@T2"})


def test_the_uncertainty_lies_on_the_result_s_grid_and_names_the_version(server, new_study):
    study = new_study("FLAIR T1CE")
    query = {"image": f"{study}@FLAIR"}
    assert "segment it again" in server.refused(404, "GET", "/uncertainty/tumour", params=query)
    answer = server.call("POST", "/infer/tumour", params=query | {"output": "json"})
    assert answer.status_code == 200, answer.text
    uncertain = server.call("GET", "/uncertainty/tumour", params=query)
    assert uncertain.headers["X-BrainMVP-Model"] == answer.json()["model"]
    image = nib.Nifti1Image.from_bytes(gzip.decompress(uncertain.content))
    flair = nib.load(server.get_json("/datastore/image/info", **query)["path"])
    assert image.shape == flair.shape
    np.testing.assert_array_equal(image.affine, flair.affine)
    assert 0 < image.get_fdata().max() <= 1
    assert server.get_json("/infer/tumour/progress", **query) == {}
