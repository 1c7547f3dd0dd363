"""A task: its sequences, its labels with colours and codes and the regions a model predicts, or its classes."""

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from brainmvp.errors import BrainMVPError
from brainmvp.sequences import Sequence
from brainmvp.tasks.recipe import DataSet, Lesions, Metric, Recipe, Record, Result, Split


class Code(Record):
    """A term of a coding scheme: `SCT` is SNOMED CT, `NCIt` the NCI Thesaurus."""

    scheme: str
    value: str
    meaning: str


# What a label is where its task does not say otherwise, as tumours and infarcts are (DICOM CID 7150), and where.
CATEGORY = Code(scheme="SCT", value="49755003", meaning="Morphologically Abnormal Structure")
BRAIN = Code(scheme="SCT", value="12738006", meaning="Brain")
# What of a label or a region a network does not learn.
_NOT_LEARNED = {
    "labels": {"__all__": {"color", "code", "category", "also_coded"}},
    "regions": {"__all__": {"measured_as", "code", "weak_without"}},
}


class Label(Record):
    """One value of a label map (uint8), with the colour (red, green, blue; 0 to 255) that every front end shows.

    category: what kind of thing it is (DICOM CID 7150); also_coded: values of other codes that files have for it.
    """

    value: int = Field(ge=1, le=255)
    key: str
    name: str
    color: tuple[int, int, int]
    code: Code
    category: Code = CATEGORY
    also_coded: tuple[str, ...] = ()


class Region(Record):
    """A union of labels, as the networks predict them; offered only where the sequences that show it are there.

    measured_as: what to call it beside its volume, where the title leaves open what is counted; filled: what the region
    encloses belongs to it (necrosis inside an enhancing rim is tumour core), and a thin film around the rim, the next
    region, does not; code: what it is as a whole, where what lies inside is not offered; None: no more than its label's
    category; weak_without: what it may be mistaken for where a sequence is not used, whatever the model, by sequence: a
    sentence without its full stop.
    """

    name: str
    title: str
    measured_as: str | None = None
    labels: tuple[int, ...]
    requires: tuple[Sequence, ...]
    filled: bool = False
    code: Code | None = None
    weak_without: dict[Sequence, str] = {}  # noqa: RUF012  (pydantic copies it)


class Class(Record):
    """One answer of a classification."""

    key: str
    name: str


class Task(Record):
    """What a model is asked to find in a study, or to say of it.

    `minimum` lists alternatives: a study is accepted if it has every sequence of one of them.
    `reference` is the order of preference for the sequence whose grid the result has.
    `regions` go from the outermost to the innermost, each inside the one before; or, as tissues do, they have no label
    in common (`nested` is False), and the most probable one takes the voxel.
    `read_as` maps values of other conventions to ours (BraTS until 2021 writes enhancing tumour as 4).
    A classification has `classes` in place of labels and regions.
    `metrics` are what it is judged by; none named: all of its kind.
    """

    name: str
    title: str
    kind: Literal["segmentation", "classification"] = "segmentation"
    sequences: tuple[Sequence, ...]
    minimum: tuple[tuple[Sequence, ...], ...]
    reference: tuple[Sequence, ...]
    labels: tuple[Label, ...] = ()
    regions: tuple[Region, ...] = ()
    read_as: dict[int, int] = {}  # noqa: RUF012  (pydantic copies it)
    classes: tuple[Class, ...] = ()
    data: DataSet | None = None
    split: Split = Split()
    recipe: Recipe = Recipe()
    metrics: tuple[Metric, ...] = ()
    lesions: Lesions = Lesions()
    published: tuple[Result, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "Task":
        for least in self.minimum:
            if not set(least) & set(self.reference):
                raise ValueError(
                    f"a study of {'+'.join(least)} is accepted by minimum, and reference names none of it"
                )
        if self.kind == "classification":
            if len(self.classes) < 2 or self.labels or self.regions:
                raise ValueError("a classification has two or more classes, and no labels or regions")
            return self
        if not self.regions or self.classes:
            raise ValueError("a segmentation has regions, and no classes")
        used = [set(region.labels) for region in self.regions]
        values = {label.value for label in self.labels}
        if not set().union(*used) <= values:
            raise ValueError("a region names a label value that is not in the task's labels")
        if not set(self.read_as.values()) <= {0, *values}:
            raise ValueError("read_as leads to a value that is neither 0 nor in the task's labels")
        if not self.nested and sum(map(len, used)) != len(set().union(*used)):
            raise ValueError("regions lie one inside the other, outermost first, or have no label in common")
        return self

    @property
    def nested(self) -> bool:
        """Whether each region lies inside the one before."""
        pairs = zip(self.regions, self.regions[1:], strict=False)
        return all(set(inner.labels) < set(outer.labels) for outer, inner in pairs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a network's output channels mean: the names of the regions, or the keys of the classes."""
        return tuple(region.name for region in self.regions) or tuple(c.key for c in self.classes)

    @property
    def meaning(self) -> dict[str, Any]:
        """What learning hangs on: channels, labels, regions and classes, JSON-ready, without colours or codes."""
        learned = {"sequences", "minimum", "reference", "labels", "regions", "read_as", "classes"}
        return self.model_dump(mode="json", include=learned, exclude=_NOT_LEARNED)

    @property
    def titles(self) -> dict[str, str]:
        """What to call each of the `outputs`."""
        return {region.name: region.title for region in self.regions} or {c.key: c.name for c in self.classes}

    @property
    def needed(self) -> str:
        """The sequences that a study needs at least, such as `DWI` or `T1+T2 or FLAIR`."""
        return " or ".join("+".join(alternative) for alternative in self.minimum)

    def accepts(self, available: set[Sequence]) -> bool:
        """Tell whether the available sequences reach the task's minimum."""
        return any(available.issuperset(alternative) for alternative in self.minimum)

    def check_sequences(
        self, available: set[Sequence], study: str, flagged: Mapping[Sequence, str] | None = None
    ) -> None:
        """Raise `BrainMVPError` if the available sequences are below the task's minimum.

        flagged: why a sequence that the study has as well cannot be used.
        """
        if self.accepts(available):
            return
        found = ", ".join(s for s in self.sequences if s in available) or "none of its sequences"
        flagged = flagged or {}
        if why := [f"{s} is not used, {flagged[s]}." for s in self.sequences if s in flagged]:
            suffices = self.accepts(available | set(flagged))
            remedy = "Correct that, or add another sequence." if suffices else "Add the sequence."
            raise BrainMVPError(
                f"{study}: the {self.name} task needs {self.needed}, and of this study {found} can be used. "
                f"{' '.join(why)} {remedy}"
            )
        raise BrainMVPError(
            f"{study}: the {self.name} task needs {self.needed}, and this study has {found}; add the sequence."
        )

    def offered(
        self, available: set[Sequence], unusable: Collection[Sequence] = ()
    ) -> tuple[list[Region], dict[str, str]]:
        """Return the regions that the available sequences can show, and for each other one why it is left out.

        unusable: the sequences that the study has as well, and that could not be used.
        """
        offered, left_out = [], {}
        for region in self.regions:
            missing = [sequence for sequence in region.requires if sequence not in available]
            if missing:
                absent = [sequence for sequence in missing if sequence not in unusable]
                why = "which this study does not have" if absent else "which could not be used"
                left_out[region.name] = f"{region.title} needs {' and '.join(absent or missing)}, {why}."
            else:
                offered.append(region)
        return offered, left_out

    def weaknesses(self, offered: Collection[str], used: Collection[Sequence]) -> list[str]:
        """Return what to know of the offered regions, by name, without the sequences that were not used.

        A sentence each without its full stop.
        """
        regions = [region for region in self.regions if region.name in offered]
        return [
            f"without {s}, {what}" for r in regions for s, what in r.weak_without.items() if s not in used
        ]

    def read_labels(self, labels: np.ndarray, source: str = "the label map") -> np.ndarray:
        """Return a label map (X, Y, Z) of any convention and type as uint8 with this task's values.

        Raises `BrainMVPError` naming `source` if it holds other values.
        """
        known = {0: 0, **{label.value: label.value for label in self.labels}, **self.read_as}
        values = np.unique(labels)
        unknown = [value for value in values.tolist() if value not in known]
        if unknown:
            shown = ", ".join(f"{value:g}" for value in unknown[:5])
            allowed = ", ".join(str(value) for value in sorted(known))
            raise BrainMVPError(
                f"{source} holds the value{'s' if len(unknown) > 1 else ''} {shown}, which the {self.name} task "
                f"does not know; use {allowed}."
            )
        result = np.zeros(labels.shape, np.uint8)
        for value in values.tolist():
            result[labels == value] = known[value]
        return result

    def regions_of(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return a label map (X, Y, Z) as boolean masks (X, Y, Z) by the names of the regions, in their order."""
        return {region.name: np.isin(labels, region.labels) for region in self.regions}

    def settle(self, probabilities: np.ndarray) -> None:
        """Make probabilities (R, X, Y, Z) of some of the regions, in their order, agree with each other, in place.

        A region lies inside the one before, and so do their probabilities; of tissues, the most probable one takes the
        voxel.
        """
        if not self.nested:
            probabilities *= probabilities == probabilities.max(0)
            return
        for outer, inner in pairwise(probabilities):
            np.minimum(inner, outer, out=inner)

    def labels_of(self, regions: dict[str, np.ndarray]) -> np.ndarray:
        """Return the label map (X, Y, Z) uint8 of boolean region masks, given by region name.

        Every voxel gets the label of the innermost region that holds it, which is the label that no region
        further inside has. A region that was not offered is absent: its labels then belong to the region
        around it, whose own label they take. Regions that are not nested must not overlap here.
        """
        present = [region for region in self.regions if region.name in regions]
        inside = np.ones_like(next(iter(regions.values())))
        result = np.zeros(inside.shape, np.uint8)
        for region in present:
            inside = inside & regions[region.name] if self.nested else regions[region.name]
            result[inside] = self._own_label(region)
        return result

    def label_names(self, offered: list[str]) -> dict[int, str]:
        """Return what each label value means in a result with these regions.

        A region whose inner regions were left out cannot be told apart further: its label then has the region's
        title (without T1CE, "Whole tumour" and not "Peritumoural oedema").
        """
        present = [region for region in self.regions if region.name in offered]
        names = {label.value: label.name for label in self.labels}
        if len(present) == len(self.regions):
            return names
        if not self.nested:
            return {self._own_label(region): names[self._own_label(region)] for region in present}
        innermost = present[-1]
        shown = {self._own_label(region): names[self._own_label(region)] for region in present}
        return shown | {self._own_label(innermost): innermost.title}

    def value_called(self, name: str) -> int | None:
        """Return the value of the label of this key or name, or that stands for the region of this name or title."""
        regions = {text: self._own_label(r) for r in self.regions for text in (r.name, r.title)}
        labels = {text: label.value for label in self.labels for text in (label.key, label.name)}
        return {_plain(text): value for text, value in (regions | labels).items()}.get(_plain(name))

    def value_coded(self, code: str) -> int | None:
        """Return the value of the label that files have this code for, or None where a region has it as well."""
        coded = [label.value for label in self.labels if code in (label.code.value, *label.also_coded)]
        shared = any(region.code and region.code.value == code for region in self.regions)
        return coded[0] if len(coded) == 1 and not shared else None

    def described(self, names: dict[int, str] | None = None) -> list[Label]:
        """Return the labels of a result that has these names by value (`label_names`); None: all under their own names.

        A label that has the title of a region stands for all of it, and has the region's key and code.
        """
        if names is None:
            return list(self.labels)
        return [self._named(label, names[label.value]) for label in self.labels if label.value in names]

    def _named(self, label: Label, name: str) -> Label:
        region = next((r for r in self.regions if r.title == name and label.value in r.labels), None)
        whole = {}
        if region and name != label.name:
            whole = {"key": region.name, "code": region.code or label.category}
        return label.model_copy(update={"name": name, **whole})

    def _own_label(self, region: Region) -> int:
        index = self.regions.index(region)
        inner = self.regions[index + 1].labels if self.nested and index + 1 < len(self.regions) else ()
        return next(value for value in region.labels if value not in inner)


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
