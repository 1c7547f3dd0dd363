"""The model section: train, stop, watch, compare versions, go back to one."""

from __future__ import annotations

from typing import Any, Callable

from .background import Job
from .errors import ModuleError
from .session import Session

_STATES = {
    "RUNNING": "Training.",
    "SUBMITTED": "Training.",
    "DONE": "The last training is done.",
    "ERROR": "The last training failed; the server's log says why.",
}

# What BrainMVP's server says of a training that goes on.
_RUNNING = ("preparing", "training", "measuring")


class Training:
    """Starts and watches trainings at the server."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._told: tuple[Any, dict[str, Any] | None, str] = (
            None,
            None,
            "",
        )  # by which client, and why nothing
        self._asking = False

    @property
    def status(self) -> dict[str, Any] | None:
        """What the server that is connected says of its last training; None where it was not asked, or is away."""
        client, status, _ = self._told
        return status if client is self.session.client else None

    @property
    def running(self) -> bool:
        status = self.status or {}
        return status.get("status") in ("RUNNING", "SUBMITTED") or self.progress.get("state") in _RUNNING

    @property
    def progress(self) -> dict[str, Any]:
        """The progress that BrainMVP's server adds to the stock answer."""
        found = (self.status or {}).get("progress")
        return found if isinstance(found, dict) else {}

    def start(self, then: Callable[[], Any] = lambda: None, model: str = "") -> None:
        """Train a model on the final labels; only ever called because somebody asked for it.

        then: called afterwards, whether it could be started or not; model: by default the chosen one.
        """
        session = self.session
        with session.refusing():
            client, model = session.need_client(), model or session.state.model

            def started(_: Any) -> None:
                session.said.emit(f"The training of {model} has begun; you can go on working.")
                self.ask()
                then()

            def failed(error: ModuleError) -> None:
                session.failed.emit(error)
                then()

            session.wait_for("Starting the training", lambda job: client.train(model), started, failed)

    def stop(self) -> None:
        """Stop the training."""
        session = self.session
        with session.refusing():
            client = session.need_client()
            session.wait_for(
                "Stopping the training", lambda job: client.stop_training(), lambda _: self.ask()
            )

    def ask(self) -> None:
        """Ask the server how the training is, without making anybody wait."""
        session = self.session
        if session.client is None or self._asking:
            return
        client = session.client
        self._asking = True

        def work(job: Job) -> tuple[Any, list[dict[str, Any]]]:
            return client.training(), client.models()

        def done(answer: tuple[Any, list[dict[str, Any]]]) -> None:
            self._asking = False
            if session.client is client:
                status, session.versions = answer
                self._told = client, status, ""
                session.changed.emit()

        def failed(error: ModuleError) -> None:
            self._asking = False
            if session.client is client:
                self._told = client, None, f"How the training is cannot be told: {error.sentence}"
                session.changed.emit()

        session.background.start("Asking", work, done, failed)

    def restore(self, version: int) -> None:
        """Make the server answer with an earlier version of the chosen model."""
        session = self.session
        with session.refusing():
            client, model = session.need_client(), session.state.model

            def work(job: Job) -> list[dict[str, Any]]:
                client.serve_model(model, version)
                return client.models()

            def done(versions: list[dict[str, Any]]) -> None:
                session.versions = versions
                session.said.emit(f"{model}@{version} is used from now on.")

            session.wait_for("Restoring", work, done)

    def versions(self) -> list[dict[str, Any]]:
        """Return the versions of the chosen model, oldest first."""
        model = self.session.state.model
        mine = [entry for entry in self.session.versions if entry.get("name") == model]
        return sorted(mine, key=lambda entry: entry.get("version", 0))

    def held_out(self) -> list[tuple[int, float]]:
        """Return the held-out Dice of each version that has one, oldest first."""
        points = []
        for entry in self.versions():
            dice = (entry.get("held_out") or {}).get("dice")
            if isinstance(dice, (int, float)):
                points.append((entry["version"], float(dice)))
        return points

    def in_use(self) -> str:
        """Say which version of the chosen model is used, and how good it was; empty where the server keeps none."""
        served = next((entry for entry in self.versions() if entry.get("served")), None)
        if served is None:
            return ""
        dice = dict(self.held_out()).get(served["version"])
        if dice is None:
            return f"In use: version {served['version']}"
        count = served["held_out"].get("cases")
        of = f" on {count} studies" if count else ""
        return f"In use: version {served['version']}, held-out Dice {dice:.2f}{of}"

    def in_words(self) -> str:
        """Say how the training is."""
        progress, facts = self.progress, []
        if not progress.get("message"):
            client, _, why = self._told
            why = why if client is self.session.client else ""
            return why or _STATES.get((self.status or {}).get("status"), "No training yet.")
        if progress.get("state") == "training":
            if progress.get("dice") is not None:
                facts.append(f"Dice {progress['dice']:.3f} at the last validation.")
            if progress.get("seconds_left") is not None:
                facts.append(f"About {max(1, round(progress['seconds_left'] / 60))} min left.")
        return " ".join([str(progress["message"]), *facts])
