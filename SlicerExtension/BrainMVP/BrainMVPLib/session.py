"""What the panel's sections share: the scene, what is remembered, the server, and the work that is under way."""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Callable

from . import scene as ops
from .background import Background, Job
from .client import Client
from .errors import ModuleError, ServerError, of_disk
from .outbox import Outbox
from .shared import sequence_teller, shared_package
from .signals import Signal
from .state import State
from .study import Row, VolumeFacts, assemble, series_of
from .tables import TaskSpec, load_tasks, task_of_model
from .transport import Transport

_NUMBERS = count(1)  # no folder gets the name of an earlier one, which work that was left may still tidy up
_PROBLEMS = 20
NOT_USED = "The server may finish its part; the answer is not used."


def login_name() -> str:
    """Return the name under which somebody is logged in on this computer; empty where the system tells none."""
    try:
        return getpass.getuser()
    except Exception:  # which one depends on the system and on Python's version
        return ""


class Session:
    """One user at work on one scene.

    scene: the MRML scene; parameters: the parameter node; folder: where downloads and waiting labels are kept;
    header_of: the facts of a volume's DICOM header by its node's id, if it has one; annotator: the user's name, under
    which studies are reserved and labels stored.

    Signals: `changed` (look at everything again), `failed` (a `ModuleError`), `said` (a sentence about what was
    done), `progress` (step, fraction or None), `idle` (the work that one waits for is over).
    """

    def __init__(
        self,
        scene: Any,
        parameters: Any,
        folder: Path,
        header_of: Callable[[str], dict[str, Any]] = lambda node_id: {},
        annotator: str = "",
    ) -> None:
        self.scene = scene
        self.state = State(parameters)
        self.annotator = annotator
        self.folder = folder
        self.outbox = Outbox(folder / "outbox")
        self.background = Background()
        self.client: Client | None = None
        self.info: dict[str, Any] = {}
        self.versions: list[dict[str, Any]] = []
        self.tasks = load_tasks(shared_package() / "tasks")
        self._header_of = header_of
        self._tell = sequence_teller(header_of)
        self._job: Job | None = None
        self._left: Callable[[], str] | None = None
        self._sending = False
        self._temporary: list[Path] = []
        self.changed, self.failed, self.said = Signal(), Signal(), Signal()
        self.progress, self.idle = Signal(), Signal()

    # Server

    def connect(self, url: str, token: str = "") -> None:
        """Ask the server at an address what it offers, and send it what waits for it."""
        with self.refusing():
            client = Client(Transport(url, token))
            self.wait_for(
                "Connecting", lambda job: (client, client.info(), *client.models_or_why()), self._connected
            )

    def _connected(
        self, answer: tuple[Client, dict[str, Any], list[dict[str, Any]], ServerError | None]
    ) -> None:
        self.client, self.info, self.versions, problem = answer
        self.state.url = self.client.url
        if self.state.model not in self.info["models"]:
            self.state.model = next(iter(self.info["models"]), "")
        strategies = list(self.info.get("strategies") or {})
        if self.state.strategy not in strategies:
            self.state.strategy = strategies[0] if strategies else "random"
        if problem is not None:
            self.failed.emit(problem)
        self.send_waiting()

    def ask_server(self) -> None:
        """Ask the server again how far it is and which versions it has, without making anybody wait."""
        client = self.client
        if client is None:
            return

        def done(answer: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
            if self.client is client:
                self.info, self.versions = answer
                self.changed.emit()

        self.background.start(
            "Asking", lambda job: (client.info(), client.models()), done, lambda error: None
        )

    def disconnect(self) -> None:
        """Forget the server."""
        self.client, self.info, self.versions = None, {}, []
        self.changed.emit()

    def need_client(self) -> Client:
        """Return the server's client; raises `ModuleError` where none is connected."""
        if self.client is None:
            raise ModuleError("No server is connected; connect to one in the Server section first.")
        return self.client

    def check_server(self) -> None:
        """Raise `ModuleError` if the open study is known to another server than the one that is connected."""
        home = self.state.server
        if self.client is not None and home and self.client.url != home:
            raise ModuleError(
                f"{self.state.study} is a study of the server {home}; connect to that one, or open the study from this "
                "one."
            )

    def standing(self) -> dict[str, Any]:
        """Return what outlives a scene that is closed: the server that is connected, and what is asked of it."""
        names = ("url", "strategy", "model")
        return {
            "server": (self.client, self.info, self.versions),
            "said": {name: getattr(self.state, name) for name in names},
        }

    def go_on_from(self, standing: dict[str, Any]) -> None:
        """Go on as a session on a scene that was closed stood, except where this scene says otherwise."""
        for name, value in standing["said"].items():
            if not self.state.has(name):
                setattr(self.state, name, value)
        client = standing["server"][0]
        if client is not None and client.url == self.state.url:
            self.client, self.info, self.versions = standing["server"]

    @property
    def server_in_words(self) -> str:
        """What the server is and how far its studies are labelled."""
        if self.client is None:
            return "Not connected"
        store = self.info.get("datastore") or {}
        name = self.info.get("name", "MONAI Label server")
        labelled = f"{store.get('completed', 0)} of {store.get('total', 0)} studies labelled"
        if self.problems:
            labelled += "; with problems (point here to read them)"
        return (
            f"Connected: {name} {self.info.get('version', '')}, {len(self.info['models'])} models, {labelled}"
        )

    @property
    def problems(self) -> list[str]:
        """What the server says is wrong with studies and labels, in sentences: as many as a tip has room for."""
        found = (self.info.get("datastore") or {}).get("problems")
        told = [f"{place}: {why}" for place, why in found.items()] if isinstance(found, dict) else []
        return told[:_PROBLEMS] + ([f"And {len(told) - _PROBLEMS} more."] if len(told) > _PROBLEMS else [])

    def send_waiting(self, asked: bool = False) -> None:
        """Send the labels that wait for this server, one after another, without making anybody wait.

        asked: whether the user did: then also those that were refused before, and what goes wrong is told.
        """
        if self.client is None or self._sending:
            return
        client = self.client
        letters = [letter for letter in self.outbox.letters(client.url) if asked or not letter.problem]

        def sent(result: tuple[int, list[str], ModuleError | None]) -> None:
            self._sending = False
            number, replaced, problem = result
            if number:
                self.said.emit(
                    " ".join([f"{number} waiting label{'s' if number > 1 else ''} sent.", *replaced])
                )
                self.ask_server()
            if problem is not None and asked:
                self.failed.emit(problem)
            self.changed.emit()

        if letters:
            self._sending = True
            self.background.start(
                "Sending", lambda job: self.outbox.send_all(letters, client), sent, lambda e: sent((0, [], e))
            )

    # Task and study

    @property
    def task(self) -> TaskSpec | None:
        """What the chosen model does; from our own tasks while no server is connected."""
        return self.task_named(self.state.model)

    @property
    def drawn_task(self) -> TaskSpec | None:
        """What the segmentation that is open is of, whichever model was chosen since it was made."""
        return self.task_named(self.state.task or self.state.model)

    def task_named(self, name: str) -> TaskSpec | None:
        """Return what a model of the server does, one's own tasks included; None where nobody knows it."""
        if name in self.info.get("models", {}):
            return task_of_model(name, self.info["models"][name], self.tasks)
        return self.tasks.get(name)

    def rows(self, task: TaskSpec | None = None) -> list[Row]:
        """Return, for each sequence of a task, by default the chosen model's, which volume it has."""
        task = task or self.task
        if task is None:
            return []
        found = [self._with_visit(volume) for volume in ops.volumes(self.scene)]
        chosen = {
            s: node.GetID() for s in task.sequences for node in [self.state.volume(s)] if node is not None
        }
        series = self.state.series

        def tell(volume: VolumeFacts) -> tuple[str | None, str]:
            of_series = series_of(series, volume.sequence) if volume.sequence else ""
            return (volume.sequence, of_series) if of_series else self._tell(volume)

        return assemble(task, found, chosen, self.state.left_empty, tell, self.state.study_name, series)

    def _with_visit(self, volume: VolumeFacts) -> VolumeFacts:
        """Return a volume with the visit that its DICOM header tells, unless it was opened with a study."""
        visit = volume.visit or self._header_of(volume.node_id).get("StudyInstanceUID", "")
        return replace(volume, visit=str(visit))

    def chosen_volumes(self, task: TaskSpec | None = None) -> dict[str, Any]:
        """Return the volume node of each sequence of a task, by default the chosen model's, that has one."""
        return {row.sequence: self.scene.GetNodeByID(row.chosen) for row in self.rows(task) if row.chosen}

    def reference(self, task: TaskSpec | None = None) -> tuple[str, Any] | None:
        """Return the sequence on whose grid results lie, and its volume; of the chosen model by default."""
        task = task or self.task
        volumes = self.chosen_volumes(task)
        sequence = task.reference_of(volumes) if task else None
        return (sequence, volumes[sequence]) if sequence else None

    # Work

    @property
    def busy(self) -> bool:
        """Whether there is work under way that the user waits for."""
        return self._job is not None

    def wait_for(
        self, name: str, work: Callable[[Job], Any], done: Callable[[Any], Any],
        failed: Callable[[ModuleError], Any] | None = None, left: Callable[[], str] | None = None,
    ) -> None:  # fmt: skip
        """Do work that the user waits for and may leave; one at a time.

        left: called if they do; returns what becomes of the work, to be told.
        """
        self._begin(name, self.background.start, work, done, failed)
        self._left = left

    def wait_for_steps(
        self, name: str, steps: Iterator[tuple[str, float]], done: Callable[[Any], Any],
        undo: Callable[[], None],
    ) -> None:  # fmt: skip
        """Do work on the main thread, step by step (see `Background.start_steps`), that the user may leave."""
        self._begin(name, partial(self.background.start_steps, undo=undo), steps, done)

    def _begin(
        self, name: str, start: Callable[..., Job], work: Any, done: Callable[[Any], Any],
        failed: Callable[[ModuleError], Any] | None = None,
    ) -> None:  # fmt: skip
        if self.busy:
            raise ModuleError(f"{self._job.name} is not done yet; wait, or leave it first.")

        def over(receiver: Callable[[Any], Any], value: Any) -> None:
            self._job = None
            self.idle.emit()
            with self.refusing():
                receiver(value)
            self.changed.emit()

        self._left = None
        self._job = start(
            name,
            work,
            lambda result: over(done, result),
            lambda error: over(failed or self.failed.emit, error),
            self.progress.emit,
        )
        self.progress.emit(name, None)
        self.changed.emit()

    def leave(self) -> None:
        """Stop waiting. The server may go on with what it began."""
        if self._job is not None:
            self._job.abandon()
            name, self._job = self._job.name, None
            self.idle.emit()
            self.said.emit(f"{name}: left. {self._left() if self._left else NOT_USED}")
            self.changed.emit()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn a `ModuleError` inside the block, or what the disk refuses, into the signal `failed`."""
        try:
            yield
        except ModuleError as error:
            self.failed.emit(error)
        except OSError as error:
            self.failed.emit(of_disk(error))

    def close(self) -> None:
        """Abandon all work and forget who listens: what arrives later reaches nobody."""
        self.background.close()
        self._job = None
        for folder in self._temporary:
            shutil.rmtree(folder, ignore_errors=True)
        for signal in (self.changed, self.failed, self.said, self.progress, self.idle):
            signal.disconnect_all()

    def keep(self, folder: Path) -> None:
        """Let a workplace outlive the session: a scene that is saved may name the files in it."""
        self._temporary.remove(folder)

    def workplace(self, name: str) -> Path:
        """Return a new folder for the files of one piece of work; it goes with the session, unless kept."""
        while True:
            path = self.folder / "work" / f"{name}-{os.getpid()}-{next(_NUMBERS)}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            self._temporary.append(path)
            return path
