"""What goes wrong between Slicer and a server: one sentence each, and nothing of the scene is lost."""

import errno
import shutil
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from BrainMVPLib import scene as ops
from BrainMVPLib.drawn import state_of
from BrainMVPLib.errors import ServerError
from BrainMVPLib.opening import Opening
from BrainMVPLib.segmenting import Segmenting
from BrainMVPLib.submitting import Submitting
from BrainMVPLib.training import Training
from BrainMVPLib.transport import Transport
from stock_server import AFFINE, LABELS, StockServer, answer


def test_a_stock_server_with_one_image_works_without_what_it_lacks(study, stock, settle):
    segmenting, submitting, training = Segmenting(study), Submitting(study), Training(study)
    assert [row.sequence for row in study.rows()] == ["Image"]
    assert list(study.info["models"]) == ["lesions"]  # what classifies draws nothing
    segmenting.segment()
    settle(study)
    assert study.errors == []
    assert study.state.facts["volumes_ml"].keys() == LABELS.keys()
    assert len(stock.images) == 1
    segmenting.segment()
    settle(study)
    assert stock.calls.count("PUT /datastore/image") == 1
    submitting.submit("final")
    settle(study)
    assert "Nothing was changed in the proposal" in study.heard[-1]
    assert len(stock.labels) == 1
    submitting.skip("no")
    settle(study)
    assert "cannot note a skip" in study.heard[-1]
    training.ask()
    settle(study)
    assert training.in_words() == "No training yet."
    assert training.versions() == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_study_that_cannot_be_reserved_is_segmented(study, stock, settle, status):
    stock.wrong["/studies/reserve"] = status
    Segmenting(study).segment()
    settle(study)
    assert study.errors == []
    assert study.state.segmentation is not None
    assert study.heard[-1] == "Segmented."


def test_how_far_the_server_is_and_its_versions_are_shown_as_they_are_now(study, stock, settle):
    stock.models = [{"name": "lesions", "version": 1, "served": True}]
    Segmenting(study).segment()
    settle(study)
    assert Training(study).versions() == stock.models
    assert study.server_in_words.endswith("0 of 1 studies labelled")
    stock.wrong["/datastore/label"] = 503
    Submitting(study).submit("final")
    settle(study)
    stock.wrong.clear()
    study.send_waiting()
    settle(study)
    assert study.server_in_words.endswith("1 of 1 studies labelled")
    stock.labels.clear()
    Submitting(study).submit("final")
    settle(study)
    assert study.server_in_words.endswith("1 of 1 studies labelled")


def test_an_archive_has_time_to_fetch_an_image(study, stock, settle, monkeypatch):
    stock.images["x"] = Path(study.reference()[1].GetStorageNode().GetFileName()).read_bytes()
    stock.proposal = {"id": "x", "name": "x.nrrd"}
    stock.wrong["/datastore/image"] = "slow"
    assert Transport.download.__defaults__ == (60.0,)
    monkeypatch.setattr(Transport.download, "__defaults__", (0.1,))
    Opening(study).next_study()
    threading.Timer(1, stock.release.set).start()
    settle(study)
    assert (study.errors, study.state.study) == ([], "x")


def test_what_a_server_refuses_is_not_taken_for_what_it_lacks(study, stock, settle):
    stock.wrong = {"/models": 401, "/train/": 500}
    study.disconnect()
    study.connect(stock.url)
    settle(study)
    assert study.errors == ["The server wants a valid token."]
    assert (study.client is not None, study.versions) == (True, [])
    with pytest.raises(ServerError, match="The server failed"):
        study.client.training()
    stock.wrong = {"/models": 405, "/train/": 404}
    assert (study.client.models(), study.client.training()) == ([], None)


def test_a_full_disk_of_this_computer_is_called_one(study, stock, settle, monkeypatch):
    stock.images["x"] = b"voxels"

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device", "image.nrrd.part")

    monkeypatch.setattr(Transport, "_store", full)
    stock.proposal = {"id": "x", "name": "x.nrrd"}
    Opening(study).next_study()
    settle(study)
    assert study.errors == [
        "image.nrrd.part: No space left on device; free some space, or choose another place."
    ]
    assert stock.calls.count("GET /datastore/image") == 1


def test_the_uncertainty_of_another_version_or_server_is_refused(study, stock, settle):
    stock.facts = {"model": "lesions@1"}
    segmenting = Segmenting(study)
    segmenting.segment()
    settle(study)
    stock.uncertainty = b"", "lesions@3"
    segmenting.uncertainty.toggle()
    settle(study)
    assert study.errors.pop() == (
        "The server's uncertainty is of lesions@3, the result of lesions@1; run Auto-segment again."
    )
    study.state.facts = {**study.state.facts, "sequences_used": ["T1CE", "FLAIR"]}
    stock.uncertainty = b"", "lesions@1", "FLAIR"
    segmenting.uncertainty.toggle()
    settle(study)
    assert "uncertainty is of FLAIR, the result of T1CE, FLAIR" in study.errors.pop()
    study.state.server = "http://elsewhere"
    segmenting.uncertainty.toggle()
    settle(study)
    assert "is a study of the server http://elsewhere" in study.errors.pop()


def test_a_label_never_goes_to_another_server_than_its_study(study, stock, settle, tmp_path):
    Segmenting(study).segment()
    settle(study)
    with StockServer() as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        answer(other, tmp_path, AFFINE, (2, 7))
        study.connect(other.url)
        settle(study)
        for action in (lambda: Submitting(study).submit("final"), lambda: Submitting(study).skip("blurred")):
            action()
            settle(study)
            assert f"is a study of the server {stock.url}" in study.errors[-1]
        # The other one may have an image of that name, but not this one.
        Segmenting(study).segment()
        settle(study)
        assert len(other.images) == 1
        Submitting(study).submit("final")
        settle(study)
        assert (len(stock.labels), len(other.labels)) == (0, 1)
        other.shutdown()


@pytest.mark.parametrize("step", ["/datastore/image", "/infer/lesions"])
@pytest.mark.parametrize(
    ("how", "says"),
    [(500, "The server failed (500"), ("gone", "No server answers"), ("cut", "")],
)
def test_a_server_that_fails_at_a_step_leaves_the_scene_as_it_was(
    study, stock, settle, scene, step, how, says
):
    before = scene.GetNumberOfNodes()
    stock.wrong[step] = how
    Segmenting(study).segment()
    settle(study)
    assert len(study.errors) == 1
    assert says in study.errors[0]
    assert scene.GetNumberOfNodes() == before
    assert study.state.segmentation is None
    assert not study.busy
    stock.wrong.clear()
    Segmenting(study).segment()
    settle(study)
    assert study.state.segmentation is not None


@pytest.mark.parametrize("how", [500, "gone", "cut"])
@pytest.mark.parametrize(
    ("path", "act"),
    [
        ("/activelearning/random", lambda session: Opening(session).next_study()),
        ("/datastore/label", lambda session: Submitting(session).submit("final")),
        ("/studies/skip", lambda session: Submitting(session).skip("moved")),
        ("/uncertainty/lesions", lambda session: Segmenting(session).uncertainty.toggle()),
        ("/train/lesions", lambda session: Training(session).start()),
        ("/models/lesions/serve", lambda session: Training(session).restore(1)),
    ],
    ids=["next", "submit", "skip", "uncertainty", "train", "restore"],
)
def test_a_server_that_fails_later_is_told_and_the_result_stays(study, stock, settle, scene, path, act, how):
    Segmenting(study).segment()
    settle(study)
    segmentation, before = study.state.segmentation, scene.GetNumberOfNodes()
    if path.startswith("/activelearning"):
        segmentation.SetAttribute(ops.SENT, state_of(segmentation))
    stock.wrong[path] = how
    act(study)
    settle(study)
    assert any(path in call for call in stock.calls)
    assert not study.busy
    assert study.state.segmentation is segmentation
    assert scene.GetNumberOfNodes() == before
    if path == "/datastore/label" and how in ("gone", 500):
        assert study.errors == []
        assert ("failed (500" in study.heard[-1]) == (how == 500)
        assert len(study.outbox.letters()) == 1
    elif path == "/datastore/label" and how == "cut":  # it arrived, whatever became of the answer
        assert len(stock.labels) == 1
    else:
        assert len(study.errors) == 1
        assert ("failed (500" in study.errors[0]) == (how == 500)


def test_the_token_goes_to_the_server_and_not_into_the_scene(study, stock, settle, scene, tmp_path):
    study.connect(stock.url, "s3cret")
    settle(study)
    assert "Bearer s3cret" in stock.tokens
    scene.SetURL(str(tmp_path / "scene.mrml"))
    assert scene.Commit()
    assert "127.0.0.1" in (tmp_path / "scene.mrml").read_text()
    assert "s3cret" not in (tmp_path / "scene.mrml").read_text()
    stock.wrong["/info/"] = 401
    study.connect(stock.url)
    settle(study)
    assert study.errors == ["The server wants a valid token."]


def test_a_password_that_the_computer_keeps_for_the_host_does_not_replace_the_token(
    study, stock, settle, tmp_path, monkeypatch
):
    passwords = tmp_path / "netrc"
    passwords.write_text("machine 127.0.0.1 login somebody password other\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("NETRC", str(passwords))
    study.connect(stock.url, "s3cret")
    settle(study)
    assert "Bearer s3cret" in stock.tokens


def test_a_certificate_has_to_be_trusted(session, stock, settle, tmp_path, monkeypatch):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-keyout", key, "-out", certificate, *words]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    stock.socket = context.wrap_socket(stock.socket, server_side=True)
    address = stock.url.replace("http://", "https://")
    session.connect(address)
    settle(session)
    assert "certificate of https://127.0.0.1" in session.errors.pop()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    session.connect(address)
    settle(session)
    assert session.errors == []
    assert session.server_in_words.startswith("Connected: Stock")


def test_another_geometry_or_an_undeclared_value_is_refused(study, stock, settle, scene, tmp_path):
    moved = AFFINE.copy()
    moved[:3, 3] += 1
    for affine, values, says in ((moved, (2,), "does not lie on the grid"), (AFFINE, (3,), "the values 3")):
        answer(stock, tmp_path, affine, values)
        before = scene.GetNumberOfNodes()
        Segmenting(study).segment()
        settle(study)
        assert says in study.errors.pop()
        assert scene.GetNumberOfNodes() == before


def test_a_slow_server_can_be_left_and_its_answer_is_not_used(study, stock):
    stock.wrong["/infer/lesions"] = "slow"
    before = set(threading.enumerate())
    Segmenting(study).segment()
    while "POST /infer/lesions" not in stock.calls:
        time.sleep(0.01)
        study.background.drain()
    (worker,) = (t for t in set(threading.enumerate()) - before if t.name == "BrainMVP Auto-segment")
    begin = time.perf_counter()
    study.leave()
    assert time.perf_counter() - begin < 0.1
    assert not study.busy
    assert "The server may finish its part" in study.heard[-1]
    stock.release.set()
    worker.join(20)
    assert not worker.is_alive()
    study.background.drain()
    assert study.state.segmentation is None


def test_a_volume_removed_during_an_inference_is_told(study, stock, settle, scene):
    stock.wrong["/infer/lesions"] = "slow"
    node = study.reference()[1]
    Segmenting(study).segment()
    scene.RemoveNode(node)
    stock.release.set()
    settle(study)
    assert "is gone; load it again" in study.errors[-1]
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_what_may_not_be_repeated_is_not(stock):
    client = Transport(stock.url)
    for path in ("/infer/lesions", "/datastore/image"):
        stock.wrong[path] = 503
    for method, path, times in (("POST", "/infer/lesions", 1), ("GET", "/datastore/image", 3)):
        with pytest.raises(ServerError) as failure:
            client.json(method, path)
        assert failure.value.away
        assert stock.calls.count(f"{method} {path}") == times


def test_what_is_no_server_is_told(session, settle, stock):
    for url, says in (
        ("ftp://somewhere", "is no address of a server"),
        ("http://127.0.0.1:1", "No server answers"),
        (f"{stock.url}/datastore", "Not Found"),
        ("http://[abc", "is no address of a server"),
    ):
        session.connect(url)
        settle(session)
        assert says in session.errors.pop()


@pytest.mark.parametrize("how", [500, "gone", "cut"])
def test_a_next_study_that_cannot_be_downloaded_keeps_the_open_one(opened, stock, settle, scene, how):
    Submitting(opened).submit("draft")
    settle(opened)
    before, segmentation = scene.GetNumberOfNodes(), opened.state.segmentation
    stock.wrong["/datastore/image"] = how
    Opening(opened).next_study()
    settle(opened)
    assert "GET /datastore/image" in stock.calls[stock.calls.index("PUT /datastore/label") :]
    assert len(opened.errors) == 1
    assert (opened.state.study, opened.state.segmentation) == ("first", segmentation)
    assert scene.GetNumberOfNodes() == before
    assert stock.calls.count("POST /studies/release") == 1  # the one that did not come
