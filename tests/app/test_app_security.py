"""The requests that get through a stock MONAI Label server, and others like them."""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from app_server import Server

NewStudy = Callable[[str], str]

OUTSIDE = [
    "../escaped",
    "/tmp/escaped",
    "..",
    ".",
    "a/b",
    "a\\b",
    ".hidden",
    "labels",
    "Labels",
    "a b",
    "a\0b",
    "nul",
]


@pytest.mark.parametrize("study", [*OUTSIDE, "x@FLAIR", "x" * 101, "trailing."])
def test_no_image_is_written_outside_the_studies(
    server: Server, write_study: Callable[..., Path], study: str
) -> None:
    file = next(write_study("source", "FLAIR").iterdir())
    before = server.files()
    answer = server.upload(study, file)
    assert answer.status_code == 400
    assert "is not a name for a new study" in answer.json()["detail"]
    assert server.files() == before


def test_the_file_name_of_an_upload_is_no_way_out(server: Server, write_study: Callable[..., Path]) -> None:
    file = next(write_study("source", "FLAIR").iterdir())
    before = set(server.files())
    name = "../../../escaped_flair.nii.gz"
    assert server.upload("by_name", file, name=name).status_code == 200
    assert {path for path in set(server.files()) - before if "flair" in path} == {
        "studies/by_name/flair.nii.gz"
    }


@pytest.mark.parametrize("tag", ["../../escaped", "..", "a/b", "/tmp/x", ".hidden", "Final", "a" * 41, "a b"])
def test_no_label_is_written_outside_the_labels(
    server: Server, new_study: NewStudy, write_label: Callable[..., Path], tag: str
) -> None:
    study = new_study("FLAIR")
    file = write_label(study)
    before = server.files()
    answer = server.label(study, file, tag=tag)
    assert answer.status_code == 400
    assert "is not a label tag" in answer.json()["detail"]
    query = {"image": study, "output": "json"}
    params = f'{{"save_label": true, "label_tag": "{tag}"}}'
    server.refused(400, "POST", "/infer/tumour", params=query, data={"params": params})
    assert server.files() == before


@pytest.mark.parametrize("tag", ["..", "../../studies", "final/../final", ""])
def test_no_label_is_read_or_removed_outside_the_labels(
    server: Server, new_study: NewStudy, write_label: Callable[..., Path], tag: str
) -> None:
    study = new_study("FLAIR")
    assert server.label(study, write_label(study)).status_code == 200
    before = server.files()
    for path in (study, f"../../{study}/{study}_flair", "../../../etc/passwd"):
        assert server.call("GET", "/datastore/label", params={"label": path, "tag": tag}).status_code == 404
        assert server.call("DELETE", "/datastore/label", params={"id": path, "tag": tag}).status_code == 404
    assert server.files() == before


@pytest.mark.parametrize("image", ["/etc/passwd", "../studies", "..", ".", "", ".brainmvp", "labels"])
def test_nothing_but_images_of_studies_is_read(server: Server, new_study: NewStudy, image: str) -> None:
    new_study("FLAIR")
    assert server.call("GET", "/datastore/image", params={"image": image}).status_code == 404
    assert server.call("GET", "/datastore/image/info", params={"image": image}).status_code == 404
    assert server.call("DELETE", "/datastore/image", params={"id": image}).status_code == 404


def test_inference_takes_no_paths(server: Server, new_study: NewStudy) -> None:
    study = new_study("FLAIR")
    file = server.studies / study / f"{study}_flair.nii.gz"
    assert file.is_file()
    for image in (str(file), f"{study}/{study}_flair.nii.gz", str(file.parent), "/etc/passwd"):
        sentence = server.refused(404, "POST", "/infer/tumour", params={"image": image})
        assert sentence.startswith("There is no study ")


@pytest.mark.parametrize("key", ["image", "model", "label", "session", "study"])
def test_params_cannot_change_what_a_request_is_about(server: Server, new_study: NewStudy, key: str) -> None:
    query, params = {"image": new_study("FLAIR")}, f'{{"{key}": "/etc/passwd"}}'
    sentence = server.refused(400, "POST", "/infer/tumour", params=query, data={"params": params})
    assert f"params may not set {key}" in sentence


def test_an_id_is_no_path_even_where_the_server_was_started(server: Server, new_study: NewStudy) -> None:
    study = new_study("FLAIR")  # the server runs inside the studies folder, where this is a directory's name
    params = '{"save_label": true, "label_tag": "original"}'
    answer = server.call(
        "POST", "/infer/tumour", params={"image": study, "output": "json"}, data={"params": params}
    )
    assert answer.status_code == 200
    assert (server.studies / "labels" / "original" / f"{study}.nii.gz").is_file()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/model/tumour"),
        ("DELETE", "/model/tumour"),
        ("PUT", "/session/"),
        ("GET", "/session/.."),
        ("GET", "/proxy/dicom/wado/x"),
        ("POST", "/infer/wsi/tumour?image=/etc/passwd"),
        ("POST", "/infer/wsi_v2/tumour?image=/etc/passwd"),
        ("GET", "/ohif/C:%5CUsers%5CA%5CP.nii"),
        ("GET", "/ohif/index.html"),
        ("GET", "/static/ohif/index.html"),
        ("GET", "/docs"),
        ("GET", "/logs/"),
        ("GET", "/logs/gpu"),
        ("POST", "/reload"),
    ],
)
def test_what_studies_do_not_need_is_closed(server: Server, method: str, path: str) -> None:
    address = urlsplit(server.url)
    with socket.create_connection(
        (address.hostname, address.port)
    ) as connection:  # no client tidies the path up
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b'{"detail":"' in answer


def test_the_page_in_a_browser_says_how_to_connect_and_fetches_nothing_from_elsewhere(server: Server) -> None:
    page = server.call("GET", "/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "3D Slicer" in page.text and "Connect" in page.text
    assert "//" not in page.text and "<script" not in page.text
    for link in re.findall('href="(.+?)"', page.text):
        assert server.call("GET", f"/{link}").headers["content-type"] == "application/json"


def test_uploads_straight_to_inference_are_refused(server: Server, write_study: Callable[..., Path]) -> None:
    file = next(write_study("source", "FLAIR").iterdir())
    with file.open("rb") as stream:
        sentence = server.refused(400, "POST", "/infer/tumour", files={"file": (file.name, stream)})
    assert "PUT /datastore/image" in sentence
    server.refused(400, "POST", "/infer/tumour", params={"image": "x", "session_id": "../../x"})


def test_web_pages_from_elsewhere_may_not_read(server: Server) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = server.call("GET", "/info/", headers=headers)
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    assert server.call("OPTIONS", "/datastore/label", headers=preflight).status_code >= 400


def test_an_answer_never_shows_where_the_studies_lie(server: Server, new_study: NewStudy) -> None:
    study = new_study("FLAIR")
    file = server.studies / study / f"{study}_flair.nii.gz"
    file.write_bytes(file.read_bytes()[:3000])
    sentence = server.refused(422, "POST", "/infer/tumour", params={"image": study})
    assert sentence.startswith(f"{study}/{study}_flair.nii.gz cannot be read")


def test_a_malformed_request_gets_one_sentence(server: Server) -> None:
    assert "image" in server.refused(422, "PUT", "/datastore/label", files={"label": ("a.nii.gz", b"")})
    assert "'nobody'" in server.refused(404, "POST", "/activelearning/nobody")
    bad = {"params": {"image": "x"}, "data": {"info": "[1]"}}
    assert "JSON object" in server.refused(400, "PUT", "/datastore/image/info", **bad)


def test_refusals_of_the_stock_parts_are_sentences_too(server: Server, new_study: NewStudy) -> None:
    label = {"label": new_study("FLAIR"), "tag": "final"}
    server.refused(404, "PUT", "/datastore/label/info", params=label, data={"info": "{}"})
    assert "nobody" in server.refused(404, "POST", "/train/nobody")
    assert "nobody" in server.refused(400, "POST", "/scoring/nobody", params={"run_sync": "true"})
