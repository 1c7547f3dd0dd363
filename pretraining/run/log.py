"""What a run says while it goes on: a log of lines, TensorBoard, and the same as pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from .folder import RunFolder
from .pictures import draw_curves, save_figure

Report = Callable[[dict[str, Any]], None]


class Log:
    """Writes records to `log.jsonl` and TensorBoard and hands them to `report`; only the first process has one."""

    def __init__(self, folder: RunFolder, step: int, report: Report | None) -> None:
        """step: where the run starts; records of later steps, from before a resume, are dropped."""
        self._folder, self._report = folder, report
        if folder.log.is_file():
            kept = [record for record in self.records() if record.get("step", 0) <= step]
            folder.log.write_text("".join(json.dumps(record) + "\n" for record in kept), "utf-8")
        self._board = SummaryWriter(str(folder.tensorboard), purge_step=step + 1)

    def records(self) -> list[dict[str, Any]]:
        """Return all records; a line that a crash cut short is passed over."""
        records = []
        for line in self._folder.log.read_text("utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

    def add(self, record: dict[str, Any]) -> None:
        """Write a record; numbers beside a `step` become curves."""
        self._folder.root.mkdir(parents=True, exist_ok=True)
        with self._folder.log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")
        for name, value in record.items():
            if isinstance(value, float) and "step" in record:
                self._board.add_scalar(name, value, record["step"])
        if self._report:
            self._report(record)

    def draw(self, name: str, figure: Figure, step: int) -> None:
        """Put a picture into TensorBoard and into `pictures/NAME.png`, which always shows the last one."""
        self._board.add_figure(name, figure, step, close=False)
        save_figure(figure, self._folder.pictures / f"{name}.png")

    def close(self) -> None:
        """Draw the curves and close the files."""
        save_figure(draw_curves(self.records(), self._folder.root.name), self._folder.pictures / "curves.png")
        self._board.close()
