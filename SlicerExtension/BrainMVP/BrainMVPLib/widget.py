"""The panel: binds the widgets of `BrainMVP.ui` to the core, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import qt
import slicer

from . import views
from .background import lend_lock
from .cells import fill, fill_choices, plain, widen
from .errors import ModuleError
from .keys import Keys
from .local_server import LocalServer, find_command
from .opening import Opening
from .plot import draw_versions
from .scene import volumes
from .segmenting import Segmenting
from .serving import Serving
from .session import Session, login_name
from .shared import written_ml
from .study import series_rows
from .submitting import Submitting
from .training import Training

_TICK_MS = 50
_NAME = "BrainMVP/Annotator"  # in Slicer's settings
_UNDO = 10  # as in Slicer's own Segment Editor
_TICKS_TO_SEND, _TICKS_TO_ASK = 300, 60  # every 15 s; every 3 s
_SCENE_EVENTS = (slicer.vtkMRMLScene.NodeAddedEvent, slicer.vtkMRMLScene.NodeRemovedEvent)


class Panel:
    """The module's panel on one scene, from `open` until `close`.

    ui: the widgets by name; top: the widget that holds them; editor: the Segment Editor's widget, which is put in.
    """

    def __init__(self, ui: Any, top: Any, scene: Any, editor: Any, folder: Path) -> None:
        self.ui, self.top, self.scene, self.editor, self.folder = ui, top, scene, editor, folder
        self.local = LocalServer(folder / "server.log", slicer.util.startupEnvironment())
        self.session: Session | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_TICK_MS)
        self._timer.connect("timeout()", self._tick)
        self._ticks = 0
        self._stale = False
        self._observed: list[int] = []
        self._shown: dict[str, Any] = {}
        self._standing: dict[str, Any] | None = None
        self.ui.editorPlace.layout().addWidget(editor)
        self.editor.setMaximumNumberOfUndoStates(_UNDO)
        self.editor.setMRMLScene(scene)
        self.editor.setSegmentationNodeSelectorVisible(False)  # what is submitted is the one that is shown
        for table, column in ((ui.sequenceTable, 1), (ui.seriesTable, 3), (ui.volumesTable, 0),
                              (ui.versionsTable, 0)):  # fmt: skip
            widen(table, column)
        self._bind()
        self._say("")

    # From and to a scene

    def open(self, parameters: Any, header_of: Callable[[str], dict[str, Any]]) -> None:
        """Show what the parameter node remembers."""
        self.close()
        annotator = (slicer.util.settingsValue(_NAME, "") or "").strip() or login_name()
        session = self.session = Session(self.scene, parameters, self.folder, header_of, annotator)
        if self._standing is not None:
            session.go_on_from(self._standing)
        session.state.opened = 0.0  # a saved scene's, between which and now nobody worked on it
        self.opening, self.segmenting = Opening(session), Segmenting(session)
        self.submitting, self.training = Submitting(session), Training(session)
        self.serving = Serving(session, self.local)
        session.changed.connect(self.look_again)
        session.failed.connect(self._show_error)
        session.said.connect(self._say)
        session.progress.connect(self._show_progress)
        session.idle.connect(lambda: self.ui.progressFrame.setVisible(False))
        self._observed = [self.scene.AddObserver(event, self.look_again) for event in _SCENE_EVENTS]
        self.ui.urlEdit.setText(session.state.url)
        self.ui.annotatorEdit.setText(annotator)
        self.ui.progressFrame.setVisible(False)
        self._shown.clear()
        self.refresh()
        self._timer.start()

    def close(self) -> None:
        """Let go of the scene; work under way is left, which is told, and what waits stays on disk."""
        self._timer.stop()
        for tag in self._observed:
            self.scene.RemoveObserver(tag)
        self._observed = []
        if self.session is not None:
            self._say("")
            self.session.leave()
            self._standing = self.session.standing()
            self.session.close()
            self.session = None
            self.editor.setSegmentationNode(None)

    def _tick(self) -> None:
        session = self.session
        if session is None:
            return
        lend_lock()
        session.background.drain()
        self._ticks += 1
        if self._ticks % _TICKS_TO_SEND == 0:
            session.send_waiting()
        if self._ticks % _TICKS_TO_ASK == 0 and not self.ui.modelSection.collapsed:
            self.training.ask()
        if self._stale:
            self._stale = False
            self.refresh()

    def look_again(self, caller: Any = None, event: Any = None) -> None:
        """Show everything as it is now, a moment later: many changes, one look."""
        self._stale = True

    # Buttons

    def _bind(self) -> None:
        ui = self.ui
        clicks = {
            ui.connectButton: self._connect,
            ui.startButton: self._start_server,
            ui.stopServerButton: lambda: self.serving.stop(),
            ui.leaveButton: lambda: self.session.leave(),
            ui.nextButton: lambda: self.opening.next_study(),
            ui.folderButton: self._open_folder,
            ui.sceneButton: lambda: self.opening.use_scene(),
            ui.compareButton: self._compare,
            ui.backButton: self._back,
            ui.overlayButton: self._toggle_overlay,
            ui.previousButton: lambda: self._step(-1),
            ui.followingButton: lambda: self._step(1),
            ui.segmentButton: lambda: self.segmenting.segment(),
            ui.uncertaintyButton: lambda: self.segmenting.uncertainty.toggle(),
            ui.emptyButton: lambda: self.submitting.start_empty(),
            ui.submitButton: lambda: self.submitting.submit("final", self._after_final),
            ui.draftButton: lambda: self.submitting.submit("draft"),
            ui.skipButton: lambda: self.submitting.skip(ui.skipEdit.text, self._after_skip),
            ui.sendButton: lambda: self.session.send_waiting(asked=True),
            ui.trainButton: lambda: self.training.start(),
            ui.stopTrainButton: lambda: self.training.stop(),
            ui.restoreButton: self._restore,
        }
        for button, action in clicks.items():
            button.connect("clicked(bool)", lambda checked, action=action: self._act(action))
        ui.detailsButton.connect("toggled(bool)", ui.detailsText.setVisible)
        ui.seriesButton.connect("toggled(bool)", ui.seriesTable.setVisible)
        ui.urlEdit.connect("returnPressed()", self._connect)
        ui.annotatorEdit.connect("editingFinished()", self._name)
        for name, box in (("model", ui.modelBox), ("strategy", ui.strategyBox)):
            box.connect(
                "activated(int)", lambda index, name=name, box=box: self._choose(name, box.itemText(index))
            )
        ui.modelSection.connect("contentsCollapsed(bool)", lambda closed: closed or self.training.ask())
        keys = {
            "Shift+O": self._toggle_overlay,
            "Shift+B": lambda: self._step(-1),
            "Shift+N": lambda: self._step(1),
        }
        self.keys = Keys(self.top, self.editor, keys, self._act)

    def _act(self, action: Callable[[], Any]) -> None:
        """Do what a button is for; nothing that goes wrong becomes a traceback."""
        if self.session is None:
            return
        self._say("")
        with self.session.refusing():
            action()

    def _connect(self) -> None:
        self.ui.urlEdit.setModified(False)
        self.session.connect(self.ui.urlEdit.text, self.ui.tokenEdit.text)

    def _start_server(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.top, "Folder with one folder for each study")
        if folder:
            self.ui.urlEdit.setModified(False)
            self.serving.start(Path(folder))

    def _open_folder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(self.top, "Folder with the images of one study")
        if folder:
            self.opening.open_folder(Path(folder))

    def _compare(self) -> None:
        chosen = self.session.chosen_volumes()
        if not chosen:
            raise ModuleError("No sequence has a volume yet; open a study, or choose volumes in the table.")
        before = views.compare(self.scene, chosen, self._fit)
        if before >= 0:
            self.session.state.layout = before
        self.session.state.compared = True
        self._shown["compared"] = [node.GetID() for node in chosen.values()]

    def _back(self) -> None:
        self.session.state.compared = False
        views.restore(self.scene, self.session.state.layout)

    def _fit(self, names: list[str]) -> None:
        for name in names:
            widget = slicer.app.layoutManager().sliceWidget(name)
            if widget is not None:
                widget.sliceLogic().FitSliceToBackground()

    def _toggle_overlay(self) -> None:
        segmentation = self.session.state.segmentation
        if segmentation is None:
            raise ModuleError("There is no segmentation yet; run Auto-segment, or start an empty one.")
        shown = views.toggle_segmentation(segmentation)
        self._say("The segmentation is shown." if shown else "The segmentation is hidden.")

    def _step(self, by: int) -> None:
        chosen = list(self.session.chosen_volumes().items())
        if not chosen:
            raise ModuleError("No sequence has a volume yet; open a study, or choose volumes in the table.")
        if views.comparing(self.scene):
            self._back()
        self._sequence = (getattr(self, "_sequence", -1 if by > 0 else 0) + by) % len(chosen)
        name, node = chosen[self._sequence]
        views.show_everywhere(self.scene, node)
        self._say(f"Shown: {name}.")

    def _after_final(self) -> None:
        if self.ui.trainBox.checked and self.session.client is not None:
            self.training.start(self.opening.next_study, self.session.state.task)
        elif self.session.client is not None:
            self.opening.next_study()

    def _after_skip(self) -> None:
        self.ui.skipEdit.setText("")
        self.opening.next_study()

    def _restore(self) -> None:
        versions, row = self.training.versions(), self.ui.versionsTable.currentRow()
        if not 0 <= row < len(versions):
            raise ModuleError("Choose a version in the table first.")
        self.training.restore(versions[row]["version"])

    def _name(self) -> None:
        name = self.ui.annotatorEdit.text.strip()
        qt.QSettings().setValue(_NAME, name)
        if self.session is not None:
            self.session.annotator = name

    def _choose(self, name: str, value: str) -> None:
        if self.session is not None:
            setattr(self.session.state, name, value)
        self.look_again()

    # What is shown

    def _say(self, sentence: str) -> None:
        self._message(sentence, "")

    def _show_error(self, error: ModuleError) -> None:
        self._message(f"⚠ {error.sentence}", error.details)

    def _message(self, sentence: str, details: str) -> None:
        ui = self.ui
        ui.messageFrame.setVisible(bool(sentence))
        ui.messageText.setText(sentence)
        ui.detailsText.setPlainText(details)
        ui.detailsButton.setVisible(bool(details))
        ui.detailsButton.setChecked(False)
        ui.detailsText.setVisible(False)

    def _show_progress(self, step: str, fraction: float | None) -> None:
        ui = self.ui
        ui.progressFrame.setVisible(True)
        ui.progressText.setText(step)
        ui.progressBar.setRange(0, 0 if fraction is None else 100)
        ui.progressBar.setValue(0 if fraction is None else round(100 * fraction))

    def refresh(self) -> None:
        """Show everything as it is now."""
        session, ui = self.session, self.ui
        if session is None:
            return
        state, connected, free = session.state, session.client is not None, not session.busy
        ui.serverState.setText(session.server_in_words)
        ui.serverState.setToolTip(plain("\n".join(session.problems)))
        if self._shown.get("url") != state.url:
            self._shown["url"] = state.url
            if not ui.urlEdit.modified:  # nobody has typed since the last click
                ui.urlEdit.setText(state.url)
        ui.startButton.setVisible(find_command() is not None and not self.local.running)
        ui.stopServerButton.setVisible(self.local.running)
        for button in (ui.connectButton, ui.folderButton, ui.sceneButton, ui.submitButton, ui.draftButton):
            button.setEnabled(free)
        for button in (ui.nextButton, ui.segmentButton, ui.skipButton, ui.trainButton, ui.restoreButton):
            button.setEnabled(free and connected)
        models = list(session.info.get("models", {})) or list(session.tasks)
        self._options(ui.modelBox, models, state.model)
        self._options(ui.strategyBox, list(session.info.get("strategies") or {}), state.strategy)
        self._refresh_study()
        self._refresh_result()
        self._refresh_model()
        waiting = session.outbox.letters()
        refused = [f"{letter.study}: {letter.problem}" for letter in waiting if letter.problem]
        ui.waitingText.setText(
            " ".join([f"Labels that wait on this computer: {len(waiting)}.", *refused]) if waiting else ""
        )
        ui.waitingText.setVisible(bool(waiting))
        ui.sendButton.setVisible(bool(waiting))

    def _refresh_study(self) -> None:
        session, ui = self.session, self.ui
        state, task = session.state, session.task
        ui.studyText.setText(" ".join(filter(None, [state.study_name and f"{state.study_name}.", state.why])))
        ui.studyText.setVisible(bool(state.study_name))
        rows = session.rows()
        options = [(volume.node_id, volume.name) for volume in volumes(self.scene)]
        table = [(row.sequence, options, row.chosen or "", row.note) for row in rows]
        if self._shown.get("sequences") != table:  # a box that is open stays open
            self._shown["sequences"] = table
            fill_choices(ui.sequenceTable, table, lambda name, node_id: self.opening.choose(name, node_id))
        fill(ui.seriesTable, series_rows(state.series))
        ui.seriesButton.setVisible(bool(state.series))
        ui.seriesTable.setVisible(bool(state.series) and ui.seriesButton.checked)
        chosen = [row.chosen for row in rows if row.chosen]
        # Follows to the next study, and back into a saved scene; not where the user went to another layout since.
        stands = "compared" not in self._shown or views.comparing(self.scene)
        if chosen and stands and state.compared and self._shown.get("compared") != chosen:
            self._compare()
        missing = task.what_is_missing([row.sequence for row in rows if row.chosen]) if task else ""
        disputed = [row.sequence for row in rows if row.disputed]
        if disputed:
            missing = (
                f"More than one volume claims {', '.join(disputed)}; choose in the table. {missing}".strip()
            )
        ui.missingText.setText(missing)
        ui.missingText.setVisible(bool(missing))

    def _refresh_result(self) -> None:
        session, ui = self.session, self.ui
        state = session.state
        version = self.training.in_use()
        ui.versionText.setText(version)
        ui.versionText.setVisible(bool(version))
        facts = state.facts
        millilitres = facts.get("volumes_ml") or {}
        fill(ui.volumesTable, [[name, written_ml(value)] for name, value in millilitres.items()])
        ui.volumesTable.setVisible(bool(millilitres))
        ui.resultText.setText(f"Proposal of {facts['model']}" if facts.get("model") else "")
        ui.resultText.setVisible(bool(facts.get("model")))
        ui.uncertaintyButton.setEnabled(bool(facts.get("image")) and not session.busy)
        ui.emptyButton.setEnabled(state.segmentation is None)
        ui.changesText.setText(self.submitting.report)  # here it stays when the next study opens
        ui.changesText.setVisible(bool(self.submitting.report))
        segmentation = state.segmentation
        reference = session.reference() if segmentation is not None else None
        key = (segmentation and segmentation.GetID(), reference and reference[1].GetID())
        if self._shown.get("edited") != key:
            self._shown["edited"] = key
            self.editor.setSegmentationNode(segmentation)
            self.editor.setSourceVolumeNode(reference[1] if reference else None)

    def _refresh_model(self) -> None:
        ui, training = self.ui, self.training
        if ui.modelSection.collapsed:
            return
        ui.trainingText.setText(training.in_words())
        progress = training.progress
        ui.trainingBar.setVisible(training.running)
        ui.trainingBar.setRange(0, int(progress.get("epochs") or 0))
        ui.trainingBar.setValue(int(progress.get("epoch") or 0))
        ui.stopTrainButton.setEnabled(training.running)
        versions = training.versions()
        if self._shown.get("versions") == versions:  # what is chosen in the table stays chosen
            return
        self._shown["versions"] = [dict(entry) for entry in versions]
        points = dict(training.held_out())
        served = next((entry["version"] for entry in versions if entry.get("served")), None)
        rows = []
        for entry in versions:
            dice = points.get(entry["version"])
            rows.append([
                f"{entry['version']}: {entry.get('title', '')}", "not measured" if dice is None else f"{dice:.3f}",
                str(entry.get("created", ""))[:10], "in use" if entry.get("served") else "",
            ])  # fmt: skip
        fill(ui.versionsTable, rows)
        ui.plotLabel.setVisible(bool(points))
        ui.plotLabel.setPixmap(draw_versions(sorted(points.items()), served, ui.plotLabel))

    def _options(self, box: Any, texts: list[str], current: str) -> None:
        if self._shown.get(box.objectName) != texts:
            self._shown[box.objectName] = texts
            box.clear()
            for text in texts:
                box.addItem(text)
        if current in texts:
            box.setCurrentIndex(texts.index(current))
