"""Real scans through a running server: the result lies on the scan's own grid."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from app_server import Server


@pytest.mark.parametrize(
    ("folder", "model", "reference"),
    [("tumour/BraTS-GLI-00000-000", "tumour", "t1ce"), ("stroke/sub-strokecase0009", "stroke", "dwi")],
)
def test_a_real_study_comes_back_on_its_own_grid(
    server: Server, shared: Path, folder: str, model: str, reference: str
) -> None:
    source = shared / "data" / folder
    for file in sorted(source.glob("*.nii.gz")):
        if "seg" not in file.name and "msk" not in file.name:
            server.upload(source.name, file).raise_for_status()
    query = {"image": source.name, "output": "image"}
    answer = server.call("POST", f"/infer/{model}", params=query)
    assert answer.status_code == 200, answer.text[:500]
    label = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    original = nib.load(next(source.glob(f"*_{reference}.nii.gz")))
    assert label.shape == original.shape
    assert np.array_equal(label.affine, original.affine)
    server.call("DELETE", "/datastore/image", params={"id": source.name}).raise_for_status()
