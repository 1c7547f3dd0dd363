"""What a run says while it goes on: a log of lines, TensorBoard, and the same as pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from brainmvp.errors import first_line
from brainmvp.files import write_text

from .folder import RunFolder
from .pictures import draw_curves, save_figure

Report = Callable[[dict[str, Any]], None]


class Log:
    """Writes records to `log.jsonl` and TensorBoard and hands them to `report`; only the first process has one.

    What a full disk has no room for is told once and left out: it does not end the run.
    """

    def __init__(self, folder: RunFolder, step: int, report: Report | None) -> None:
        """step: where the run starts; records of later steps, from before a resume, are dropped."""
        self._folder, self._report = folder, report
        self._left_out = False
        if folder.log.is_file():
            kept = [record for record in folder.records() if record.get("step", 0) <= step]
            write_text(folder.log, "".join(json.dumps(record) + "\n" for record in kept))
        self._board = SummaryWriter(str(folder.tensorboard), purge_step=step + 1)

    def add(self, record: dict[str, Any]) -> None:
        """Write a record; numbers beside a `step` become curves."""
        self._write(lambda: self._append(json.dumps(record)))
        numbers = {n: v for n, v in record.items() if isinstance(v, float)} if "step" in record else {}
        for name, value in numbers.items():
            self._write(lambda name=name, value=value: self._board.add_scalar(name, value, record["step"]))
        if self._report:
            self._report(record)

    def draw(self, name: str, figure: Figure, step: int) -> None:
        """Put a picture into TensorBoard and into `pictures/NAME.png`, which always shows the last one."""
        self._write(lambda: self._board.add_figure(name, figure, step, close=False))
        self._write(lambda: save_figure(figure, self._folder.pictures / f"{name}.png"))

    def close(self) -> None:
        """Draw the curves and close the files."""
        curves = draw_curves(self._folder.records(), self._folder.root.name)
        self._write(lambda: save_figure(curves, self._folder.pictures / "curves.png"))
        self._write(self._board.close)

    def _append(self, line: str) -> None:
        log = self._folder.log
        log.parent.mkdir(parents=True, exist_ok=True)
        end = log.stat().st_size if log.is_file() else 0
        try:
            with log.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError:
            if log.is_file():
                os.truncate(log, end)  # half a line would spoil the next one
            raise

    def _write(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            if not self._left_out and self._report:
                reason = f"Not all of {self._folder.root} could be written ({first_line(error)})"
                self._report({"warning": f"{reason}; make room on its disk: the run goes on without it."})
            self._left_out = True
