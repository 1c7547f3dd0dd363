"""The model's uncertainty, laid over the views on demand."""

from __future__ import annotations

from pathlib import Path

from . import scene as ops
from . import views
from .background import Job
from .errors import ModuleError
from .session import Session

_SHOWN = "BrainMVP.Shown"


class Uncertainty:
    """Fetches the uncertainty of the last result, shows it and hides it."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def toggle(self) -> None:
        """Lay the last result's uncertainty over the views, or take it away."""
        session, state = self.session, self.session.state
        with session.refusing():
            volume = state.uncertainty
            if volume is not None:
                shown = volume.GetAttribute(_SHOWN) == "yes"
                views.overlay(session.scene, None if shown else volume)
                volume.SetAttribute(_SHOWN, "no" if shown else "yes")
                session.changed.emit()
                return
            client, image, model = session.need_client(), state.facts.get("image"), state.task or state.model
            if not image:
                raise ModuleError(
                    "There is no result yet whose uncertainty could be shown; run Auto-segment first."
                )
            session.check_server()
            shown, looked_at = state.facts.get("model"), state.facts.get("sequences_used") or []
            target = session.workplace("uncertainty") / "uncertainty.nii.gz"

            def work(job: Job) -> Path:
                version, used = client.uncertainty(
                    model, image, target, lambda part: job.report("Uncertainty", part)
                )
                if version and shown and version != shown:
                    raise ModuleError(
                        f"The server's uncertainty is of {version}, the result of {shown}; run Auto-segment again."
                    )
                if used and looked_at and set(used) != set(looked_at):
                    raise ModuleError(
                        f"The server's uncertainty is of {', '.join(used)}, the result of {', '.join(looked_at)}; run "
                        "Auto-segment again."
                    )
                return target

            session.wait_for("Uncertainty", work, self._show)

    def _show(self, path: Path) -> None:
        session, state = self.session, self.session.state
        if state.segmentation is None:
            return
        volume = ops.load_volume(session.scene, path, "Uncertainty")
        reference = session.reference(session.drawn_task)
        if reference is None or not ops.same_grid(volume, reference[1]):
            ops.remove(session.scene, volume)
            raise ModuleError("The uncertainty is that of another image; run Auto-segment again.")
        session.scene.RemoveNode(volume.GetStorageNode())  # the file goes away: saved, the volume is written
        ops.mark(volume, state.study_name, "uncertainty")
        display = volume.GetDisplayNode()
        display.SetAndObserveColorNodeID(views.color_of_uncertainty(session.scene).GetID())
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(0.0, 1.0)
        display.SetApplyThreshold(True)
        display.SetThreshold(0.05, 1.0)
        state.set_uncertainty(volume.GetID())
        volume.SetAttribute(_SHOWN, "yes")
        views.overlay(session.scene, volume)

    def forget(self) -> None:
        """Remove the uncertainty of a result that another one takes the place of."""
        session = self.session
        volume = session.state.uncertainty
        if volume is not None:
            views.overlay(session.scene, None)
            session.state.set_uncertainty(None)
            ops.remove(session.scene, volume)
