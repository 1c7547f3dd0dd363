"""Models on disk: NAME/VERSION/{card.json, weights.safetensors}, never overwritten; a pointer says which is served."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from brainmvp.card import Card, check_name, is_name
from brainmvp.errors import BrainMVPError, first_line
from brainmvp.files import TEMPORARY, sweep, write_json
from brainmvp.home import home as default_home
from brainmvp.networks import build_classifier, build_network

_BUILT_IN = Path(__file__).parent / "models"
_SERVED = "served.json"


@dataclass(frozen=True)
class Model:
    """A stored model version."""

    card: Card
    folder: Path

    @property
    def built_in(self) -> bool:
        """Whether it came with the package."""
        return self.folder.is_relative_to(_BUILT_IN)

    @property
    def weights_path(self) -> Path:
        return self.folder / "weights.safetensors"

    def check_task(self, task: str) -> None:
        """Raise `BrainMVPError` if the model is of another task."""
        if self.card.task != task:
            if self.card.task is None:
                raise BrainMVPError(
                    f"{self.card.id} is a pretrained encoder, which answers no task yet; fine-tune it first: "
                    f"brainmvp finetune {task} INDEX --from {self.card.id} --out RUN"
                )
            raise BrainMVPError(
                f"{self.card.id} is a model for {self.card.task}, not for {task}; choose another."
            )

    def check_outputs(self, outputs: tuple[str, ...]) -> None:
        """Raise `BrainMVPError` if the model's task now finds other regions or classes than when the model was made."""
        card = self.card
        if set(card.regions) != set(outputs):
            raise BrainMVPError(
                f"{card.id} knows {', '.join(card.regions)}, and the {card.task} task has {', '.join(outputs)} now; "
                "restore the task's file, or fine-tune a model again."
            )

    def load_weights(self) -> dict[str, Tensor]:
        """Return the state dict in float32; raises `BrainMVPError` if the file is missing or damaged."""
        try:
            weights = load_file(self.weights_path)
        except (OSError, SafetensorError) as error:
            raise BrainMVPError(
                f"{self.weights_path} is damaged or missing ({error}); restore another version."
            ) from error
        return {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}

    def load_network(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode on the CPU."""
        build = build_classifier if self.card.kind == "classification" else build_network
        network = build(self.card.network)
        try:
            network.load_state_dict(self.load_weights())
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise BrainMVPError(
                f"{self.weights_path} does not fit its card ({reason}); restore another version."
            ) from error
        return network.eval()


class ModelStore:
    """The versions under `$BRAINMVP_HOME/models` and, behind them, the built-in ones.

    Built-in versions and stored ones count on together: a first fine-tuned `tumour` is version 2.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(home or default_home()) / "models"

    def models(self) -> list[Model]:
        """Return every readable version, sorted by name and version; a version with a damaged card is passed over."""
        models = []
        for name in self.names():
            for version in self.versions(name):
                try:
                    models.append(self.get(name, version))
                except BrainMVPError:
                    continue
        return models

    def names(self) -> list[str]:
        """Return the names of all models."""
        roots = [root for root in (_BUILT_IN, self.root) if root.is_dir()]
        return sorted(
            {folder.name for root in roots for folder in root.iterdir() if self.versions(folder.name)}
        )

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model, rising."""
        if not is_name(name):  # it may come from outside
            return []
        folders = [folder for root in (_BUILT_IN, self.root) for folder in (root / name).glob("*/card.json")]
        return sorted({int(card.parent.name) for card in folders if card.parent.name.isdecimal()})

    def served(self, name: str) -> int:
        """Return the version that answers to the bare name: the one chosen by `serve`, else the newest built-in one.

        Of encoders it is the newest of all: no held-out patients decide about them.
        """
        pointer = self.root / name / _SERVED
        if pointer.is_file():
            try:
                return int(json.loads(pointer.read_text("utf-8"))["version"])
            except (ValueError, KeyError, TypeError) as error:
                raise BrainMVPError(
                    f"{pointer} is damaged; run `brainmvp models serve {name}@VERSION`."
                ) from error
        versions = self.versions(name)
        built_in = [version for version in versions if self._folder(name, version).is_relative_to(_BUILT_IN)]
        if built_in and self.get(name, max(built_in)).card.kind == "encoder":
            return max(versions)
        return max(built_in or versions)

    def resolve(self, reference: str) -> Model:
        """Return the model of `NAME` (its served version) or `NAME@VERSION`; raises `BrainMVPError` if absent."""
        name, _, version = reference.partition("@")
        if not self.versions(name):
            raise self._unknown(name)
        if version and not version.isdecimal():
            raise BrainMVPError(
                f"'{reference}' is not a model; write NAME or NAME@VERSION, such as {name}@1."
            )
        return self.get(name, int(version) if version else self.served(name))

    def resolve_for(self, task: str, reference: str | None = None) -> Model:
        """Return the model that is served for a task, or the one named if it is of that task.

        Raises `BrainMVPError` if it is absent or of another task.
        """
        if reference is None and not self.versions(task):
            raise BrainMVPError(
                f"There is no model for {task} in {self.root} yet; make one with: brainmvp finetune {task} INDEX --out "
                "RUN"
            )
        model = self.resolve(reference or task)
        model.check_task(task)
        return model

    def get(self, name: str, version: int) -> Model:
        """Return one version; raises `BrainMVPError` if it is not there or its card cannot be read."""
        if not self.versions(name):
            raise self._unknown(name)
        folder = self._folder(name, version)
        if not (folder / "card.json").is_file():
            versions = ", ".join(map(str, self.versions(name)))
            raise BrainMVPError(f"The model '{name}' has no version {version}; its versions are: {versions}.")
        card = _read_card(folder)
        if (card.name, card.version) != (name, version):
            raise BrainMVPError(
                f"{folder / 'card.json'} is the card of {card.id}; give the folder the name that it had."
            )
        return Model(card, folder)

    def _folder(self, name: str, version: int) -> Path:
        """Return where a version is: an own one outweighs a built-in one of its number, which came after it."""
        own = self.root / name / str(version)
        return own if (own / "card.json").is_file() else _BUILT_IN / name / str(version)

    def _unknown(self, name: str) -> BrainMVPError:
        known = ", ".join(self.names()) or "none"
        return BrainMVPError(f"There is no model named '{name}' in {self.root}; the models are: {known}.")

    def next_version(self, name: str) -> int:
        """Return the version that a new model of this name gets."""
        return max(self.versions(name), default=0) + 1

    def take(self, folder: Path) -> Model:
        """Store a copy of a finished model's folder, under the next version if another model has its own.

        Raises `BrainMVPError` if it cannot be read or stored.
        """
        card = _read_card(folder)
        if card.version in self.versions(card.name):
            card = card.model_copy(update={"version": self.next_version(card.name)})
        return self.add(card, Model(card, folder).load_weights())

    def add(
        self, card: Card, weights: dict[str, Tensor], write_more: Callable[[Path], object] | None = None
    ) -> Model:
        """Store a new version, complete or not at all; it is not served until `serve` says so.

        write_more: writes what else belongs to the version into the folder that it is given.

        Raises `BrainMVPError` if the version exists (a version is never overwritten), or its name is not allowed.
        """
        folder = self.root / check_name(card.name) / str(card.version)
        if card.version in self.versions(card.name):
            raise BrainMVPError(
                f"{card.id} exists; a version is never overwritten, use {self.next_version(card.name)}."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder.parent))
        try:
            _write_files(card, weights, temporary)
            if write_more:
                write_more(temporary)
            temporary.chmod(0o755)
            temporary.rename(folder)
        except OSError as error:
            raise BrainMVPError(
                f"{card.id} could not be stored in {folder.parent} ({error.strerror})."
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Model(card, folder)

    def serve(self, name: str, version: int) -> Model:
        """Make a version the one that answers to the bare name; raises `BrainMVPError` if it cannot be read."""
        model = self.get(name, version)
        model.load_weights()  # what cannot be read is never served
        try:
            before = self.served(name)
        except BrainMVPError:  # the pointer is what is being repaired
            before = None
        earlier = before if before != version else self.before(name)
        write_json(self.root / name / _SERVED, {"version": version, "before": earlier})
        return model

    def before(self, name: str) -> int | None:
        """Return the version that was served before the one served now, if there was another."""
        pointer = self.root / name / _SERVED
        try:
            return json.loads(pointer.read_text("utf-8")).get("before")
        except (OSError, ValueError, AttributeError):
            return None


def _read_card(folder: Path) -> Card:
    path = folder / "card.json"
    try:
        return Card.model_validate_json(path.read_text("utf-8"))
    except (ValueError, OSError) as error:  # no such card, or no text at all
        raise BrainMVPError(f"{path} is damaged; restore another version.") from error


def write_model(card: Card, weights: dict[str, Tensor], folder: Path) -> Model:
    """Write `card.json` and `weights.safetensors` into a folder, and return the model.

    Raises `BrainMVPError` if they cannot be written, as on a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_files(card, weights, folder)
    except OSError as error:
        raise BrainMVPError(
            f"The model cannot be written into {folder} ({error.strerror}); make room there and try again."
        ) from error
    return Model(card, folder)


def _write_files(card: Card, weights: dict[str, Tensor], folder: Path) -> None:
    # Copies: MONAI's DynUNet lists its layers twice, and safetensors stores no memory that is shared.
    own = {key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}
    try:
        save_file(own, folder / "weights.safetensors")
    except SafetensorError as error:  # what safetensors makes of a full disk
        raise OSError(errno.EIO, first_line(error)) from error
    (folder / "card.json").write_text(card.model_dump_json(indent=1, exclude_defaults=False), "utf-8")
