"""A real scan through a running server: the result lies on its own grid."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
from app_server import Server


def test_a_real_study_comes_back_on_its_own_grid(server: Server, shared: Path) -> None:
    source = shared / "data" / "stroke" / "sub-strokecase0009"  # FLAIR has a grid of its own
    for file in sorted(source.glob("*.nii.gz")):
        if "msk" not in file.name:
            server.upload(source.name, file).raise_for_status()
    answer = server.call("POST", "/infer/stroke", params={"image": source.name, "output": "image"})
    assert answer.status_code == 200, answer.text[:500]
    label = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    original = nib.load(next(source.glob("*_dwi.nii.gz")))
    assert label.shape == original.shape
    assert np.array_equal(label.affine, original.affine)
    server.call("DELETE", "/datastore/image", params={"id": source.name}).raise_for_status()
