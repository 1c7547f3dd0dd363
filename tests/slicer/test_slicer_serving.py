"""Start on this computer: a real server process that is started, used and stopped."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from BrainMVPLib import local_server
from BrainMVPLib.local_server import LOOPBACK, LocalServer, _port_of, find_command
from BrainMVPLib.serving import Serving, _answers
from BrainMVPLib.transport import Transport


def test_a_server_is_started_connected_and_stopped(session, settle, tmp_path, monkeypatch, tiny_models):
    command = Path(sys.executable).parent / "brainmvp"
    if not command.is_file():
        pytest.skip("the command brainmvp is not installed beside this Python")
    monkeypatch.setenv("BRAINMVP_COMMAND", str(command))
    monkeypatch.setenv("BRAINMVP_HOME", str(tiny_models))
    (tmp_path / "studies").mkdir()
    serving = Serving(session, LocalServer(tmp_path / "server.log"))
    serving.start(tmp_path / "studies")
    settle(session)
    assert session.errors == []
    assert session.server_in_words.startswith("Connected: BrainMVP")
    serving.stop()
    settle(session)
    assert session.client is None
    assert not serving.server.running
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{session.state.url}/info/", timeout=5)


def test_a_folder_has_the_same_address_at_every_start(tmp_path):
    port = _port_of(tmp_path)
    assert _port_of(tmp_path) == port != _port_of(tmp_path / "other")
    with socket.create_server((LOOPBACK, port)):
        assert _port_of(tmp_path) != port


def test_a_server_that_works_on_the_folder_already_is_taken(session, stock, settle, tmp_path, monkeypatch):
    command = tmp_path / "brainmvp"
    command.write_text(
        f"#!/bin/sh\necho Error: Another server works on {tmp_path}, use that one. >&2\nexit 2\n"
    )
    command.chmod(0o755)
    monkeypatch.setenv("BRAINMVP_COMMAND", str(command))
    Serving(session, LocalServer(tmp_path / "server.log")).start(tmp_path)
    settle(session)
    assert "did not start" in session.errors.pop()
    monkeypatch.setattr(local_server, "_usual_port", lambda studies: stock.server_address[1])
    Serving(session, LocalServer(tmp_path / "server.log")).start(tmp_path)
    settle(session)
    assert (session.errors, session.client.url) == ([], stock.url)


def test_the_server_gets_the_environment_from_before_slicer_and_no_window(request, tmp_path, monkeypatch):
    command = tmp_path / "brainmvp"
    command.write_text("#!/bin/sh\necho $LD_LIBRARY_PATH, $PYTHONHOME.\n")
    command.chmod(0o755)
    monkeypatch.setenv("BRAINMVP_COMMAND", str(command))
    monkeypatch.setenv("LD_LIBRARY_PATH", "own")
    monkeypatch.setenv("PYTHONHOME", "Slicer's")  # set by Slicer itself where it has no launcher
    server = request.getfixturevalue("panel").local
    monkeypatch.setenv("LD_LIBRARY_PATH", "Slicer's")
    server.start(tmp_path)
    server._process.wait(60)
    assert server.tail() == "own, ."

    started = []
    monkeypatch.setattr(local_server, "_NO_CONSOLE", 0x08000000)  # as on Windows
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(options))
    server.start(tmp_path)
    server._process = None
    assert started[0]["creationflags"] == 0x08000000


def test_a_server_that_does_not_start_shows_its_log(session, settle, tmp_path, monkeypatch):
    command = tmp_path / "brainmvp"
    command.write_text("#!/bin/sh\necho the disk is on fire >&2\nexit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("BRAINMVP_COMMAND", str(command))
    details = []
    session.failed.connect(lambda error: details.append(error.details))
    Serving(session, LocalServer(tmp_path / "server.log")).start(tmp_path)
    settle(session)
    assert "did not start" in session.errors[-1]
    assert "on fire" in details[-1]
    Serving(session, LocalServer(tmp_path / "server.log")).start(tmp_path / "absent")
    settle(session)
    assert "is not a folder" in session.errors[-1]
    monkeypatch.setenv("BRAINMVP_COMMAND", "")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(local_server, "_CHECKOUT", tmp_path)
    assert find_command() is None


@pytest.mark.skipif(os.name == "nt", reason="a script of a shell")
def test_the_command_of_the_checkout_is_found_without_a_search_path(tmp_path, monkeypatch):
    monkeypatch.delenv("BRAINMVP_COMMAND", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(local_server, "_CHECKOUT", tmp_path)
    command = tmp_path / ".venv" / "bin" / "brainmvp"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    assert find_command() == str(command)


def test_a_proxy_is_not_asked_for_this_computer(stock, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert Transport(stock.url).json("GET", "/info/")["name"] == "Stock"
    assert _answers(stock.url)
