"""MONAI Label's own client works with studies, unchanged."""

from collections.abc import Callable
from pathlib import Path

import pytest
from app_server import Server

from brainmvp.volume import read_volume


@pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")
def test_the_stock_client_goes_all_the_way(
    server: Server, write_study: Callable[..., Path], tmp_path: Path
) -> None:
    from monailabel.client import MONAILabelClient

    client = MONAILabelClient(server.url, tmpdir=str(tmp_path))
    for file in sorted(write_study("stock", "T1CE FLAIR").iterdir()):
        assert client.upload_image(str(file), "stock")["image"] == "stock"
    assert set(client.info()["models"]) == {"tumour", "stroke"}
    assert client.next_sample("random", {})["id"]

    file, facts = client.infer("tumour", "stock", {"result_extension": ".nii.gz"})
    reference = read_volume(server.studies / "stock" / "t1ce.nii.gz")
    assert read_volume(file).same_grid(reference, tolerance_mm=0)
    assert facts["sequences_used"] == ["T1CE", "FLAIR"]

    assert client.save_label("stock", file, "final", {"label_info": []})["label"] == "stock"
    assert client.datastore()["objects"]["stock"]["labels"]["final"]["info"]["label_info"] == []
    assert Path(client.download_label("stock", "final")).read_bytes() == Path(file).read_bytes()
