"""The panel, driven by clicks: real Qt widgets, the real scene, a real server."""

import ctypes
import json
import shutil
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("PySide6", reason="PySide6 is not installed")

import numpy as np
import slicer
from BrainMVPLib import views
from BrainMVPLib.drawn import export_labels
from PySide6 import QtCore, QtGui, QtTest, QtWidgets
from scenes import make_scene
from stock_server import AFFINE

_NUMBERS = count(1)


def test_a_study_by_clicks(panel, click, server, write_study, scene, wait):
    name = f"clicks{next(_NUMBERS)}"
    write_study(name, "T1CE FLAIR T1 T2", server.studies)
    panel.ui.urlEdit.setText(server.url)
    click("connectButton")
    assert panel.ui.serverState.text.startswith("Connected: BrainMVP")
    panel.ui.annotatorEdit.setText("Reader")
    panel.ui.annotatorEdit.editingFinished.emit()
    click("nextButton")
    assert panel.ui.studyText.text.startswith(name)
    assert [panel.ui.sequenceTable.cellWidget(row, 1).currentText for row in range(4)] == [
        f"{name} {sequence}" for sequence in ("T1", "T1CE", "T2", "FLAIR")
    ]
    click("compareButton")
    assert scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement() == 52604
    click("segmentButton")
    assert "Segmented by tumour@" in panel.ui.messageText.text
    assert panel.ui.volumesTable.rowCount == 3
    assert panel.editor.segmentation is panel.session.state.segmentation
    click("uncertaintyButton")
    assert panel.session.state.uncertainty is not None
    click("overlayButton")
    assert not panel.session.state.segmentation.GetDisplayNode().GetVisibility()
    click("backButton")
    click("followingButton")
    assert panel.ui.messageText.text.startswith("Shown: ")
    click("draftButton")
    assert "draft label" in panel.ui.messageText.text
    click("compareButton")
    write_study(following := f"{name}-next", "T2 FLAIR", server.studies)
    panel.session.state.strategy = "sequential"
    click("submitButton")
    assert (server.studies / "labels" / "final" / f"{name}.nrrd").is_file()
    wait(lambda: panel.session.state.study == following and not panel.session.busy)
    # The views of the comparison show the new study.
    assert scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement() == 52602
    shown_now = views.composite_of(scene, "BrainMVP2").GetBackgroundVolumeID()
    assert shown_now == panel.session.chosen_volumes()["FLAIR"].GetID()
    shutil.rmtree(server.studies / name)
    shutil.rmtree(server.studies / following)


def test_two_volumes_for_one_sequence_are_shown_and_chosen_by_hand(panel, volume, wait):
    panel.session.state.model = "tumour"
    first = volume(np.ones((4, 5, 6), np.int16), np.eye(4), "day1_flair")
    volume(np.ones((4, 5, 6), np.int16), np.eye(4), "day2_flair")
    wait(lambda: "FLAIR" in panel.ui.missingText.text)
    assert "More than one volume claims FLAIR" in panel.ui.missingText.text
    row = 3
    assert panel.ui.sequenceTable.item(row, 2).text() == "Choose: 2 volumes claim it"
    box = panel.ui.sequenceTable.cellWidget(row, 1)
    index = [box.itemText(n) for n in range(box.count)].index("day1_flair")
    box.setCurrentIndex(index)
    box.activated.emit(index)
    wait(lambda: panel.ui.sequenceTable.item(row, 2).text() == "Chosen")
    assert panel.session.state.volume("FLAIR") is first
    assert "Without T1, T1CE, T2" in panel.ui.missingText.text


def test_a_volume_that_another_module_fills_later_is_found(panel, desktop, scene, volume, wait):
    panel.session.state.model = "tumour"
    image = volume(np.ones((4, 5, 6), np.int16), np.eye(4), "scan").GetImageData()
    made = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "output_flair")
    wait(lambda: panel.ui.sequenceTable.item(3, 2).text() == "Missing")
    desktop.widget.exit()
    made.SetAndObserveImageData(image)
    wait(lambda: True)
    assert panel.ui.sequenceTable.item(3, 2).text() == "Missing"
    desktop.widget.enter()
    wait(lambda: panel.ui.sequenceTable.item(3, 2).text() == "Found: by its name")
    made.SetName("output_t2")
    desktop.widget.exit()
    desktop.widget.enter()
    wait(lambda: panel.ui.sequenceTable.item(2, 2).text() == "Found: by its name")


def shown(panel):
    """Return what the panel says about the study and its result."""
    ui = panel.ui
    rows = range(ui.sequenceTable.rowCount)
    return {
        "address": ui.urlEdit.text,
        "reader": ui.annotatorEdit.text,
        "study": ui.studyText.text,
        "sequences": [
            (ui.sequenceTable.cellWidget(row, 1).currentText, ui.sequenceTable.item(row, 2).text())
            for row in rows
        ],
        "missing": ui.missingText.text,
        "task": ui.modelBox.currentText,
        "result": ui.resultText.text,
        "millilitres": [
            [ui.volumesTable.item(row, column).text() for column in range(2)]
            for row in range(ui.volumesTable.rowCount)
        ],
        "segments": panel.editor.text,
    }


def test_a_saved_scene_brings_the_panel_back(
    panel, click, server, write_study, desktop, scene, reopened, monkeypatch, wait
):
    name = f"saved{next(_NUMBERS)}"
    write_study(name, "T1CE FLAIR", server.studies)
    panel.ui.urlEdit.setText(server.url)
    panel.ui.annotatorEdit.setText("Reader")
    panel.ui.annotatorEdit.editingFinished.emit()
    for button in ("connectButton", "nextButton", "segmentButton", "compareButton"):
        click(button)
    before, labels = shown(panel), export_labels(*segmentation_of(panel))
    desktop.widget.cleanup()
    again = reopened(scene)
    monkeypatch.setattr(slicer, "mrmlScene", again)
    desktop.scene, desktop.slices = again, {}
    desktop.widget = desktop.module.BrainMVPWidget()
    desktop.widget.setup()
    wait(lambda: True)
    assert shown(desktop.widget.panel) == before
    assert desktop.widget.panel.session.state.opened == 0  # since then nobody worked on it
    assert np.array_equal(export_labels(*segmentation_of(desktop.widget.panel)), labels)
    layout = again.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert layout.GetViewArrangement() == 52602
    volumes = desktop.widget.panel.session.chosen_volumes()
    assert views.composite_of(again, "BrainMVP1").GetBackgroundVolumeID() == volumes["T1CE"].GetID()
    click("backButton")
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    shutil.rmtree(server.studies / name)


def segmentation_of(panel):
    return panel.session.state.segmentation, panel.submitting.table(), panel.session.reference()[1]


def test_who_says_no_name_is_who_is_logged_in(request, monkeypatch):
    monkeypatch.setenv("LOGNAME", "reader 7")
    panel = request.getfixturevalue("panel")
    assert panel.ui.annotatorEdit.text == panel.session.annotator == "reader 7"
    panel.ui.annotatorEdit.setText("Anna ")  # drafts are kept by name
    panel.ui.annotatorEdit.editingFinished.emit()
    node = panel.session.state.node
    panel.open(node, lambda node_id: {})
    assert panel.ui.annotatorEdit.text == panel.session.annotator == "Anna"


def test_a_colleague_s_scene_brings_neither_their_name_nor_a_training(panel, scene, tmp_path, wait):
    panel.ui.annotatorEdit.setText("Ben")
    panel.ui.annotatorEdit.editingFinished.emit()
    node = panel.session.state.node
    assert not any("Ben" in node.GetParameter(name) for name in node.GetParameterNames())
    theirs = make_scene()
    saved = slicer.vtkMRMLScriptedModuleNode()
    saved.SetSingletonTag("BrainMVP")
    for name, value in (("annotator", "Anna"), ("train_after_submit", True), ("study_name", "case7")):
        saved.SetParameter(name, json.dumps(value))  # as earlier versions saved it
    theirs.AddNode(saved)
    assert theirs.Commit(str(tmp_path / "theirs.mrml"))
    scene.SetURL(str(tmp_path / "theirs.mrml"))
    assert scene.Import()
    wait(lambda: panel.session.state.study_name == "case7")
    assert panel.ui.annotatorEdit.text == panel.session.annotator == "Ben"
    assert not panel.ui.trainBox.checked


def test_a_closed_scene_keeps_the_server_and_the_reader(panel, click, server, scene, wait):
    panel.ui.urlEdit.setText(server.url)
    panel.ui.annotatorEdit.setText("Reader")
    panel.ui.annotatorEdit.editingFinished.emit()
    click("connectButton")
    scene.StartState(scene.CloseState)  # what Slicer does as it closes a scene; `Clear` needs its application
    assert panel.session is None
    panel_node = scene.GetSingletonNode("BrainMVP", "vtkMRMLScriptedModuleNode")
    for name in panel_node.GetParameterNames():
        panel_node.UnsetParameter(name)
    scene.EndState(scene.CloseState)
    wait(lambda: panel.session is not None)
    assert panel.ui.serverState.text.startswith("Connected: BrainMVP")
    assert panel.ui.annotatorEdit.text == panel.session.annotator == "Reader"
    assert panel.session.state.study == ""


def test_the_address_is_that_of_the_server_that_is_connected(panel, stock, wait):
    panel.session.connect(stock.url)  # as after Start on this computer
    wait(lambda: panel.session.client is not None)
    assert panel.ui.urlEdit.text == stock.url
    panel.ui.urlEdit.setText("http://elsewhere:8000")
    panel.refresh()
    assert panel.ui.urlEdit.text == "http://elsewhere:8000"


@pytest.mark.parametrize("typed", ["before", "after"])
def test_an_address_that_is_typed_stays_unless_a_button_is_pressed_then(
    panel, stock, desktop, wait, tmp_path, monkeypatch, typed
):
    panel.top.window().show()
    panel.ui.urlEdit.setFocus()  # which a click on a button does not take away on macOS
    wait(lambda: panel.ui.urlEdit.focus)
    desktop.folder = str(tmp_path)
    monkeypatch.setattr(panel.serving, "start", lambda folder: panel.session.connect(stock.url))
    if typed == "before":
        QtTest.QTest.keyClicks(panel.ui.urlEdit, "/mine")
    panel._start_server()
    if typed == "after":
        QtTest.QTest.keyClicks(panel.ui.urlEdit, "/mine")
    wait(lambda: panel.session.client is not None)
    text = panel.ui.urlEdit.text
    assert text == stock.url if typed == "before" else text.endswith("/mine")


def test_what_is_wrong_with_studies_at_the_server_can_be_read(panel, stock, wait):
    stock.problems = {"siteB/p2": "It has the name of siteA/p2."}
    panel.session.connect(stock.url)
    wait(lambda: panel.session.client is not None)
    assert panel.ui.serverState.text.endswith("studies labelled; with problems (point here to read them)")
    assert panel.ui.serverState.toolTip == "siteB/p2: It has the name of siteA/p2."


def test_what_others_wrote_is_shown_as_it_is_never_as_html(panel, stock, wait):
    from BrainMVPLib.cells import fill

    stock.problems = {"<img src=x>": "It has the name of <b>p1</b>."}
    panel.session.connect(stock.url)
    wait(lambda: panel.session.client is not None)
    tip = QtGui.QTextDocument()
    tip.setHtml(panel.ui.serverState.toolTip)
    assert tip.toPlainText() == "<img src=x>: It has the name of <b>p1</b>."
    fill(panel.ui.volumesTable, [["<i>x</i>"]])
    assert "&lt;i&gt;" in panel.ui.volumesTable.item(0, 0).toolTip()
    labels = panel.top.findChildren(QtWidgets.QLabel)
    filled = [label for label in labels if label.objectName.endswith(("Text", "State"))]
    assert len(filled) == 10
    assert {label.textFormat for label in filled} == {QtCore.Qt.TextFormat.PlainText}


def test_the_editor_offers_no_other_segmentation_than_the_one_that_is_submitted(panel):
    assert not panel.editor.choice


def test_outside_the_module_no_click_paints(panel, desktop):
    assert panel.editor.keys
    desktop.widget.exit()
    assert (panel.editor.effect, panel.editor.keys) == (None, False)


def test_an_error_is_a_sentence_with_details_on_demand(panel, click):
    panel.ui.urlEdit.setText("http://127.0.0.1:1")
    click("connectButton")
    assert "No server answers at http://127.0.0.1:1" in panel.ui.messageText.text
    assert panel.ui.detailsText.isHidden()
    panel.ui.detailsButton.setChecked(True)
    assert not panel.ui.detailsText.isHidden()
    assert "refused" in panel.ui.detailsText.toPlainText().lower()
    click("overlayButton")
    assert "no segmentation yet" in panel.ui.messageText.text
    assert not panel.ui.nextButton.enabled


def test_a_label_waits_visibly_while_the_server_is_away(panel, click, write_study, desktop, stock):
    desktop.folder = str(write_study("waiting", "FLAIR"))
    panel.ui.urlEdit.setText(stock.url)
    for button in ("connectButton", "folderButton", "emptyButton"):
        click(button)
    stock.wrong["/datastore/label"] = "gone"
    click("draftButton")
    assert "kept here and sent by itself later" in panel.ui.messageText.text
    assert panel.ui.waitingText.text == "Labels that wait on this computer: 1."
    assert not panel.ui.sendButton.isHidden()


def test_work_goes_on_while_the_main_thread_holds_python_s_lock(panel):
    idle = ctypes.PyDLL(None).usleep  # holds it, as a program around Python may
    done = []

    def work(job):
        for _ in range(100):
            time.sleep(0.0005)  # gives the lock away, as a transfer does at each block

    panel.session.background.start("Work", work, done.append, done.append)
    ticks = 0
    while not done:
        idle(5000)
        panel._tick()
        ticks += 1
    assert (done, ticks < 70) == ([None], True)


def test_the_module_can_be_loaded_again_during_an_inference(panel, desktop, server, click, write_study):
    desktop.folder = str(write_study("reload", "FLAIR T1CE"))
    panel.ui.urlEdit.setText(server.url)
    click("connectButton")
    click("folderButton")
    QtTest.QTest.mouseClick(panel.ui.segmentButton, QtCore.Qt.MouseButton.LeftButton)
    assert panel.session.busy
    assert not panel.ui.progressFrame.isHidden()
    old = panel.session
    desktop.widget.cleanup()
    again = desktop.module.BrainMVPWidget()
    again.setup()
    desktop.widget = again
    end = time.monotonic() + 5
    while old.background.running or time.monotonic() < end - 4:
        QtWidgets.QApplication.processEvents()
        time.sleep(0.01)
    assert again.panel.session.state.study_name == "reload"
    assert again.panel.session.state.segmentation is None
    assert not again.panel.session.busy


def test_a_scene_that_is_opened_during_an_inference_ends_it_and_that_is_said(
    panel, click, volume, stock, scene, wait
):
    volume(np.ones((10, 12, 14), np.int16), AFFINE, "head")
    panel.ui.urlEdit.setText(stock.url)
    click("connectButton")
    stock.wrong["/infer/lesions"] = "slow"
    QtTest.QTest.mouseClick(panel.ui.segmentButton, QtCore.Qt.MouseButton.LeftButton)
    assert panel.session.busy
    scene.StartState(scene.ImportState)
    scene.EndState(scene.ImportState)
    wait(lambda: True)
    assert not panel.session.busy
    assert panel.ui.progressFrame.isHidden()
    assert panel.ui.messageText.text.startswith("Auto-segment: left. ")
    assert not panel.ui.messageFrame.isHidden()


def test_whose_label_was_replaced_stays_to_be_read_when_the_next_study_opens(
    panel, click, volume, stock, wait
):
    node = volume(np.ones((10, 12, 14), np.int16), AFFINE, "head")
    for name in ("first", "second"):
        stock.images[name] = Path(node.GetStorageNode().GetFileName()).read_bytes()
    panel.scene.RemoveNode(node)
    panel.ui.urlEdit.setText(stock.url)
    click("connectButton")
    stock.proposal = {"id": "first", "name": "first.nrrd"}
    for button in ("nextButton", "emptyButton"):
        click(button)
    stock.stored, stock.proposal = {"replaced": "Ben"}, {"id": "second", "name": "second.nrrd"}
    assert panel.ui.changesText.isHidden()
    click("submitButton")
    wait(lambda: panel.session.state.study == "second" and not panel.session.busy)
    assert panel.ui.messageText.text.startswith("second is open")
    assert (
        "first is stored at the server. It takes the place of the label of Ben" in panel.ui.changesText.text
    )
    assert not panel.ui.changesText.isHidden()


def test_every_control_has_a_tool_tip_and_a_place_in_the_tab_order(panel):
    controls = (QtWidgets.QAbstractButton, QtWidgets.QLineEdit, QtWidgets.QComboBox, QtWidgets.QTableWidget)
    for name, widget in vars(panel.ui).items():
        if isinstance(widget, controls) and not name.startswith(("qt_", "ScrollLeft", "ScrollRight")):
            assert widget.toolTip, name
    order, widget = [], panel.ui.urlEdit
    for _ in range(200):
        widget = widget.nextInFocusChain()
        order.append(widget)
    named = (panel.ui.connectButton, panel.ui.nextButton, panel.ui.segmentButton, panel.ui.submitButton)
    places = [order.index(w) for w in named]
    assert places == sorted(places)


def test_slicer_can_list_the_module(desktop):
    about = SimpleNamespace()
    desktop.module.BrainMVP(about)
    assert about.categories == ["Segmentation"]
    assert "not a medical device" in about.helpText


def test_the_self_test_passes(desktop):
    test = desktop.module.BrainMVPTest()
    test.setUp = lambda: None  # the scene of this test is empty already
    test.runTest()
