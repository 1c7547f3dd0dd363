"""The tasks, and the one table that turns label values into segments and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import ModuleError

# Of structures that no task describes: colours that differ in lightness too (Okabe and Ito, 2008).
_COLORS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
# What a structure is where its task does not say otherwise, as tumours and infarcts are (DICOM CID 7150), and where.
_CATEGORY = ("SCT", "49755003", "Morphologically Abnormal Structure")
_ANATOMY = "SCT^12738006^Brain"
# The row of a model of any other MONAI Label server, which takes one image of whatever kind.
ANY_SEQUENCE = "Image"


@dataclass(frozen=True)
class Structure:
    """One value of a label map: its name, its colour (0…255), its code and its category.

    A code is (scheme, value, meaning), or None.
    """

    value: int
    name: str
    color: tuple[int, int, int]
    code: tuple[str, str, str] | None = None
    category: tuple[str, str, str] = _CATEGORY

    @property
    def terminology(self) -> str:
        """The segment's terminology entry as Slicer writes it; empty without a code."""
        if self.code is None:
            return ""
        category, code = "^".join(self.category), "^".join(self.code)
        return (
            f"Segmentation category and type - 3D Slicer General Anatomy list~{category}~{code}~^^"
            f"~Anatomic codes - DICOM master list~{_ANATOMY}~^^"
        )


@dataclass(frozen=True)
class LabelTable:
    """The structures of a model, by value; wholes: the codes of what a result may have in their place, by name."""

    structures: tuple[Structure, ...]
    wholes: tuple[tuple[str, tuple[str, str, str]], ...] = ()

    @property
    def values(self) -> list[int]:
        return [structure.value for structure in self.structures]

    def renamed(self, names: dict[int, str]) -> LabelTable:
        """Return the table with other names where `names` has one for a value, and only those values.

        A result without T1CE calls the whole tumour by its own name, and does not offer what lies inside.
        """
        wholes = dict(self.wholes)
        called = ((s, names[s.value]) for s in self.structures if s.value in names)
        structures = (
            replace(s, name=name, code=s.code if name == s.name else wholes.get(name)) for s, name in called
        )
        return replace(self, structures=tuple(structures))

    def check(self, values: Iterable[int], source: str) -> None:
        """Raise `ModuleError` if a label map holds a value that is not in the table."""
        unknown = sorted(set(values) - {0, *self.values})
        if unknown:
            raise ModuleError(
                f"{source} holds the values {', '.join(map(str, unknown))}, which the model does not declare "
                f"({', '.join(map(str, self.values))}); nothing was changed. Ask whoever runs the server."
            )


@dataclass(frozen=True)
class TaskSpec:
    """What a model is asked to find: its sequences, and the least of them that it can do with.

    minimum: alternatives; reference: the order of preference for the sequence on whose grid the result lies;
    needs: what is not offered without which sequences, (title, sequences); weak: what to know of such a structure
    without a sequence, (sequences that it needs, sequence, half a sentence).
    """

    name: str
    title: str
    sequences: tuple[str, ...]
    minimum: tuple[tuple[str, ...], ...]
    reference: tuple[str, ...]
    table: LabelTable
    needs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    weak: tuple[tuple[tuple[str, ...], str, str], ...] = ()

    @property
    def takes_any_image(self) -> bool:
        """Whether this is a model of any MONAI Label server, which knows no sequences."""
        return self.sequences == (ANY_SEQUENCE,)

    def accepts(self, available: Iterable[str]) -> bool:
        """Tell whether the sequences are enough."""
        return any(set(available).issuperset(alternative) for alternative in self.minimum)

    def suits(self, available: Iterable[str], other: TaskSpec) -> bool:
        """Tell whether the sequences are enough, and no smaller a share of this task's than of another's."""
        present = set(available)
        share, least = (
            len(present.intersection(task.sequences)) / len(task.sequences) for task in (self, other)
        )
        return self.accepts(present) and share >= least

    def reference_of(self, available: Iterable[str]) -> str | None:
        """Return the sequence on whose grid the result lies."""
        present = set(available)
        return next((sequence for sequence in self.reference if sequence in present), None)

    def what_is_missing(self, available: Iterable[str]) -> str:
        """Say in words which sequences are missing and what that means; empty if nothing is."""
        present = set(available)
        absent = [sequence for sequence in self.sequences if sequence not in present]
        if not absent:
            return ""
        if not self.accepts(present):
            wanted = " or ".join("+".join(alternative) for alternative in self.minimum)
            return f"{self.title} cannot be segmented yet: it needs {wanted}. Choose a volume for it in the table."
        lost = [title for title, needed in self.needs if not present.issuperset(needed)]
        weak = [what for needed, one, what in self.weak if one in absent and present.issuperset(needed)]
        effect = (
            f"not offered: {', '.join(lost)}" if lost else "; ".join(weak) or "the result may be less exact"
        )
        return f"Without {', '.join(absent)}, {effect}."


def load_tasks(folder: Path) -> dict[str, TaskSpec]:
    """Return the tasks that are described in a folder of JSON files and have labels, by name."""
    tasks = {}
    for path in sorted(folder.rglob("*.json")):
        data = json.loads(path.read_text("utf-8"))
        if data.get("labels"):
            tasks[data["name"]] = _task(data)
    return tasks


def _task(data: dict[str, Any]) -> TaskSpec:
    structures = tuple(
        Structure(
            label["value"],
            label["name"],
            tuple(label["color"]),
            _code(label["code"]),
            _code(label["category"]) if "category" in label else _CATEGORY,
        )
        for label in data["labels"]
    )
    wholes = ((r["title"], _code(r["code"])) for r in data.get("regions", ()) if r.get("code"))
    return TaskSpec(
        name=data["name"],
        title=data["title"],
        sequences=tuple(data["sequences"]),
        minimum=tuple(tuple(alternative) for alternative in data["minimum"]),
        reference=tuple(data["reference"]),
        table=LabelTable(structures, tuple(wholes)),
        needs=tuple((region["title"], tuple(region["requires"])) for region in data.get("regions", ())),
        weak=tuple(
            (tuple(region["requires"]), sequence, what)
            for region in data.get("regions", ())
            for sequence, what in region.get("weak_without", {}).items()
        ),
    )


def _code(data: dict[str, str]) -> tuple[str, str, str]:
    return data["scheme"], data["value"], data["meaning"]


def task_of_model(name: str, facts: dict[str, Any], tasks: dict[str, TaskSpec]) -> TaskSpec:
    """Return what a server's model does: one of our tasks if it is named and labelled like it, else what it declares.

    facts: the model's entry in the answer to `GET /info/`. A model of any other MONAI Label server takes one image.
    """
    declared = _declared_labels(facts.get("labels"))
    known = tasks.get(name)
    if known and declared == {s.name: s.value for s in known.table.structures}:
        return known
    by_name = {s.name.lower(): s for task in tasks.values() for s in task.table.structures}
    structures = []
    for number, (label, value) in enumerate(sorted(declared.items(), key=lambda item: item[1])):
        alike = by_name.get(label.lower())
        color = _COLORS[number % len(_COLORS)]
        new = Structure(value, label, color)
        structures.append(replace(alike, value=value, name=label) if alike else new)
    # Other values for the same structures, as BraTS had until 2021.
    if known and set(declared) == {s.name for s in known.table.structures}:
        return replace(known, table=replace(known.table, structures=tuple(structures)))
    sequences = tuple(facts.get("sequences") or (ANY_SEQUENCE,))
    minimum = tuple(tuple(alternative) for alternative in facts.get("minimum") or (sequences,))
    title = str(facts.get("description") or name)
    reference = tuple(facts.get("reference") or sequences)
    return TaskSpec(name, title, sequences, minimum, reference, LabelTable(tuple(structures)))


def _declared_labels(labels: Any) -> dict[str, int]:
    """Return name: value of what a model declares: a table, or a list counted from 1."""
    if isinstance(labels, dict):
        pairs = ((str(name), value) for name, value in labels.items())
    else:
        pairs = ((str(name), number) for number, name in enumerate(labels or (), 1))
    return {name: int(value) for name, value in pairs if isinstance(value, int) and value > 0}
