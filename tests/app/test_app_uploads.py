"""A study goes up sequence by sequence; what cannot be used is refused and leaves nothing behind."""

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import requests
from app_server import Server
from heads import centre_of, head, oblique
from noted_folder import labelled, opened

from brainmvp.annotation.state import AnnotationState
from brainmvp.errors import BrainMVPError
from brainmvp.volume import Volume, read_volume, write_volume

SHAPE, AFFINE = (44, 52, 46), oblique((1.1, 1.0, 1.05), "LPS")


@pytest.fixture
def scan(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a small oblique scan under a name."""

    def write(name: str, seed: int = 0) -> Path:
        return write_volume(head(SHAPE, AFFINE, centre_of(SHAPE, AFFINE), seed), tmp_path / name)

    return write


def detail(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["detail"]


def test_a_study_grows_with_each_sequence_sent(server: Server, scan: Callable[..., Path]) -> None:
    for sequence in ("FLAIR", "T1CE"):
        answer = server.upload("up_grows", scan("export.nii.gz"), f'{{"sequence": "{sequence}"}}')
        assert answer.json() == {"image": "up_grows"}
    info = server.get_json("/datastore/image/info", image="up_grows")
    assert list(info["sequences"]) == ["FLAIR", "T1CE"]
    stored = read_volume(info["path"])
    assert np.array_equal(stored.affine, AFFINE)


def test_who_uploads_a_study_has_it(root: Path) -> None:
    import main
    from brainmvp_app.choice import Chooser

    store, state = opened(root), AnnotationState(root)
    app = SimpleNamespace(_datastore=store, state=state)
    image = write_volume(Volume(np.ones((3, 4, 5), np.int16), np.eye(4)), root.parent / "flair.nii.gz")
    said = {"sequence": "FLAIR", "annotator": "A"}
    for study in ("own", "p1"):
        main.BrainMVPApp.add_image(app, study, image, said | {"sequence": "T2" if study == "p1" else "FLAIR"})
    chooser = Chooser(store, state, 0)
    assert [chooser.choose("sequential", name).get("id") for name in "BCD"] == ["p2", "p3", None]
    assert chooser.choose("sequential", "A")["id"] in ("own", "p1")
    with pytest.raises(BrainMVPError, match="not a sequence"):
        main.BrainMVPApp.add_image(app, "other", image, said | {"sequence": "X"})
    assert state.leases.holder("other") is None
    main.BrainMVPApp.add_image(app, "free", image, said | {"annotator": ""})
    assert chooser.choose("sequential", "D")["id"] == "free"


def test_who_works_on_a_study_of_their_own_choice_has_it(root: Path) -> None:
    import main
    from brainmvp_app.choice import Chooser

    store, state = labelled(root), AnnotationState(root)
    app = SimpleNamespace(_datastore=store, state=state)
    app._free_study = partial(main.BrainMVPApp._free_study, app)
    for study in ("p1", "p3"):  # the first one is labelled
        assert main.BrainMVPApp.reserve(app, study, "A") == study
    assert (state.leases.holder("p1"), state.leases.holder("p3").annotator) == (None, "A")
    assert "id" not in Chooser(store, state, 0).choose("sequential", "B")
    with pytest.raises(BrainMVPError, match="p3 is with A until"):
        main.BrainMVPApp.reserve(app, "p3", "B")


def test_the_name_tells_the_sequence_where_params_do_not(server: Server, scan: Callable[..., Path]) -> None:
    server.upload("up_named", scan("BraTS-0001-t2f.nii.gz")).raise_for_status()
    assert list(server.get_json("/datastore/image/info", image="up_named")["sequences"]) == ["FLAIR"]


def test_words_in_the_name_of_the_study_are_not_taken_for_sequences(
    server: Server, scan: Callable[..., Path]
) -> None:
    server.upload("post_contrast_flair", scan("a.nrrd"), '{"sequence": "T1"}').raise_for_status()
    assert list(server.get_json("/datastore/image/info", image="post_contrast_flair")["sequences"]) == ["T1"]


def test_a_name_that_tells_nothing_is_asked_about(server: Server, scan: Callable[..., Path]) -> None:
    before = server.files()
    assert '{"sequence": "FLAIR"}' in detail(server.upload("up_unknown", scan("export.nii.gz")), 400)
    assert "'T9'" in detail(server.upload("up_unknown", scan("e.nii.gz"), '{"sequence": "T9"}'), 400)
    assert server.files() == before


def test_sending_the_same_again_is_fine_and_another_is_refused(
    server: Server, scan: Callable[..., Path]
) -> None:
    for _ in range(2):
        server.upload("up_twice", scan("x_flair.nii.gz", seed=1)).raise_for_status()
    before = server.files()
    assert "another FLAIR already" in detail(server.upload("up_twice", scan("x_flair.nii.gz", seed=2)), 409)
    assert server.files() == before


def test_a_file_that_broke_off_is_refused(server: Server, scan: Callable[..., Path]) -> None:
    whole = scan("x_flair.nii.gz")
    whole.write_bytes(whole.read_bytes()[:2000])
    before = server.files()
    assert detail(server.upload("up_broken", whole), 422).startswith("x_flair.nii.gz cannot be read")
    assert server.files() == before


def test_a_nrrd_header_that_points_to_another_file_is_refused(
    server: Server, scan: Callable[..., Path], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.raw"
    secret.write_bytes(bytes(8))
    fields = "type: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw"
    (tmp_path / "a_flair.nrrd").write_text(f"NRRD0004\n{fields}\ndata file: {secret}\n\n")
    (tmp_path / "b_flair.nrrd").write_text(f"NRRD0004\n{fields}\n#{'x' * 70000}\ndata file: {secret}\n\n")
    header = f"NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = {secret}\n"
    (tmp_path / "c_flair.mha").write_text("ObjectType = Image\n" + header)
    before = server.files()
    for name in ("a_flair.nrrd", "b_flair.nrrd", "c_flair.mha"):
        assert "in another file" in detail(server.upload("up_pointer", tmp_path / name), 400)
    assert "not an image that is accepted" in detail(
        server.upload("up_pointer", scan("d.nii"), name="d.nhdr"), 400
    )
    assert server.files() == before


@pytest.mark.parametrize(
    "decoy",
    [
        "Comment = ElementDataFile = LOCAL\n",
        "elementdatafile = local\n",
        "Comment = a\rElementDataFile = LOCAL\n",
        "Comment =\nElementDataFile = LOCAL\n",
    ],
)
def test_a_metaimage_that_names_another_file_far_into_its_header_is_refused(
    server: Server, tmp_path: Path, decoy: str
) -> None:
    secret = tmp_path / "secret.raw"
    secret.write_bytes(b"root:x:0")
    fields = "ObjectType = Image\nNDims = 3\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nDimSize = 2 2 2\n"
    padding = "".join(f"Pad{number} = {'x' * 60}\n" for number in range(1200))
    named = f"ElementType = MET_UCHAR\nHeaderSize = 0\nElementDataFile = {secret}\n"
    (tmp_path / "x_flair.mha").write_text(fields + decoy + padding + named, newline="")
    before = server.files()
    assert "in another file" in detail(server.upload("up_decoy", tmp_path / "x_flair.mha"), 400)
    (tmp_path / "x_flair.mha").write_bytes(b"")
    assert "in another file" in detail(server.upload("up_decoy", tmp_path / "x_flair.mha"), 400)
    assert server.files() == before


def test_self_contained_nrrd_and_metaimage_are_accepted(server: Server, scan: Callable[..., Path]) -> None:
    server.upload("up_formats", scan("x_flair.nrrd")).raise_for_status()
    server.upload("up_formats", scan("x_t2.mha")).raise_for_status()
    assert list(server.get_json("/datastore/image/info", image="up_formats")["sequences"]) == ["FLAIR", "T2"]


@pytest.mark.parametrize("name", ["", "notes.txt", "x_flair.nii.gz.exe"])
def test_other_files_than_images_are_refused(server: Server, scan: Callable[..., Path], name: str) -> None:
    before = server.files()
    answer = server.upload("up_kind", scan("x_flair.nii.gz"), name=name or "noname")
    assert "not an image that is accepted" in detail(answer, 400)
    assert server.files() == before


def test_an_image_of_four_dimensions_is_refused(server: Server, tmp_path: Path) -> None:
    import nibabel as nib

    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 3), np.int16), np.eye(4)), tmp_path / "x_dwi.nii.gz")
    assert "not a 3-D volume" in detail(server.upload("up_4d", tmp_path / "x_dwi.nii.gz"), 422)
    (tmp_path / "y_dwi.nii.gz").write_bytes(gzip.compress(b"no image at all"))
    assert "y_dwi.nii.gz cannot be read" in detail(server.upload("up_4d", tmp_path / "y_dwi.nii.gz"), 422)


def test_params_that_are_no_object_are_refused(server: Server, scan: Callable[..., Path]) -> None:
    assert "not JSON" in detail(server.upload("up_params", scan("x_t1.nii.gz"), "{broken"), 400)
    assert "JSON object" in detail(server.upload("up_params", scan("x_t1.nii.gz"), "[1]"), 400)


def test_a_study_whose_files_are_listed_takes_no_further_ones(
    server: Server, scan: Callable[..., Path]
) -> None:
    server.upload("up_fixed", scan("x_t1.nii.gz")).raise_for_status()
    (server.studies / "up_fixed" / "study.json").write_text('{"sequences": {"T1": "t1.nii.gz"}}')
    assert "study.json" in detail(server.upload("up_fixed", scan("x_t2.nii.gz")), 409)


def test_one_sequence_or_the_whole_study_can_be_removed(server: Server, scan: Callable[..., Path]) -> None:
    for name in ("x_t1.nii.gz", "x_t2.nii.gz"):
        server.upload("up_removed", scan(name)).raise_for_status()
    notes = server.studies / "up_removed" / "notes.txt"
    notes.write_text("kept")
    server.call("DELETE", "/datastore/image", params={"id": "up_removed@T1"}).raise_for_status()
    assert list(server.get_json("/datastore/image/info", image="up_removed")["sequences"]) == ["T2"]
    server.call("DELETE", "/datastore/image", params={"id": "up_removed"}).raise_for_status()
    server.refused(404, "GET", "/datastore/image/info", params={"image": "up_removed"})
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]


def test_a_volume_without_geometry_is_refused(server: Server, tmp_path: Path) -> None:
    flat = Volume(np.ones((5, 5, 5), np.int16), np.diag([1.0, 1.0, 1.0, 1.0]))
    path = write_volume(flat, tmp_path / "x_flair.nii")
    content = bytearray(path.read_bytes())
    content[280:328] = bytes(48)  # srow_x, srow_y and srow_z of the NIfTI-1 header
    path.write_bytes(content)
    assert "no usable geometry" in detail(server.upload("up_flat", path), 422)
