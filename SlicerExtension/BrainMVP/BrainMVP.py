"""The entry of the 3D Slicer module: what Slicer asks for by name. The work is in BrainMVPLib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class BrainMVP(ScriptedLoadableModule):
    """What the module is, for the list of modules."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = "BrainMVP"
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor"]
        parent.contributors = ["BrainMVP for 3D Slicer contributors"]
        parent.helpText = _(
            "Segments tumours and strokes in multi-sequence brain MRI with a MONAI Label server, for a reader to "
            "correct. For research; not a medical device."
        )
        parent.acknowledgementText = _(
            "The method: Rui et al., Multi-modal Vision Pre-training for Medical Image Analysis, CVPR 2025."
        )


class BrainMVPWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Puts the panel into Slicer, and follows the scene as it is closed and opened."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.panel: Any = None

    def setup(self) -> None:
        """Make the panel."""
        from BrainMVPLib.widget import Panel

        super().setup()
        self.logic = BrainMVPLogic()
        top = slicer.util.loadUI(self.resourcePath("UI/BrainMVP.ui"))
        self.layout.addWidget(top)
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLSegmentEditorNode(self.logic.editor_node())
        folder = Path(slicer.app.slicerUserSettingsFilePath).parent / "BrainMVP"
        self.panel = Panel(slicer.util.childWidgetVariables(top), top, slicer.mrmlScene, editor, folder)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._closing)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._opened)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self._opened)
        self._opened()

    def enter(self) -> None:
        """The module is shown."""
        self.panel.keys.enter()
        self.panel.look_again()  # a volume that another module filled or renamed says nothing of it

    def exit(self) -> None:
        """Another module is shown."""
        self.panel.keys.leave()

    def cleanup(self) -> None:
        """The module is unloaded, or loaded again."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.keys.leave()
            self.panel.close()
            self.panel.local.stop(1.0)

    def _closing(self, caller: Any, event: Any) -> None:
        self.panel.close()

    def _opened(self, caller: Any = None, event: Any = None) -> None:
        self.panel.open(self.logic.getParameterNode(), self.logic.header_of)


class BrainMVPLogic(ScriptedLoadableModuleLogic):
    """What of the core needs Slicer's own parts."""

    def __init__(self) -> None:
        super().__init__()
        self._headers: dict[str, dict[str, Any]] = {}

    def editor_node(self) -> Any:
        """Return the node of the module's own Segment Editor, so that the other one keeps its settings."""
        tag = "BrainMVP"
        node = slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(tag)
            node = slicer.mrmlScene.AddNode(node)
        return node

    def header_of(self, node_id: str) -> dict[str, Any]:
        """Return the facts of the DICOM header that a volume came from; empty where it came from elsewhere."""
        from BrainMVPLib.shared import header_facts

        node = slicer.mrmlScene.GetNodeByID(node_id)
        instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split() if node is not None else []
        database = getattr(slicer, "dicomDatabase", None)
        if not instances or database is None:
            return {}
        if instances[0] not in self._headers:
            file = database.fileForInstance(instances[0])
            self._headers[instances[0]] = header_facts(Path(file)) if file else {}
        return self._headers[instances[0]]


class BrainMVPTest(ScriptedLoadableModuleTest):
    """The self test inside Slicer: Reload and Test, or the test that CMake makes."""

    def runTest(self) -> None:
        """Run every test on a scene that was emptied for it."""
        self.setUp()
        self.test_values_survive()
        self.setUp()
        self.test_the_panel_opens()

    def setUp(self) -> None:
        """Empty the scene: a self test asks for that, a user never gets it."""
        slicer.mrmlScene.Clear()

    def test_values_survive(self) -> None:
        """Label values with a gap come back as they went into a segmentation."""
        import numpy as np
        from BrainMVPLib.drawn import export_labels
        from BrainMVPLib.labelmap import Labelmap
        from BrainMVPLib.segmentations import import_labels
        from BrainMVPLib.tables import LabelTable, Structure

        values = (1, 2, 4)
        table = LabelTable(
            tuple(Structure(value, f"structure {value}", (60 * value, 90, 90)) for value in values)
        )
        labels = np.zeros((12, 14, 16), np.uint8)
        for value in values:
            labels[2 * value : 2 * value + 2, 3:9, 4:12] = value
        reference = _volume(labels.astype(np.int16))
        labelmap = Labelmap.of(labels)
        made = import_labels(slicer.mrmlScene, labelmap, table, reference, "segmentation", "The label map")
        self.assertTrue(np.array_equal(export_labels(made, table, reference), labels))

    def test_the_panel_opens(self) -> None:
        """The panel finds the sequences by name, and says what is missing."""
        import numpy as np

        for name in ("patient_t1c", "patient_flair"):
            _volume(np.ones((4, 5, 6), np.int16)).SetName(name)
        panel = slicer.modules.brainmvp.widgetRepresentation().self().panel
        panel.session.state.model = "tumour"
        panel.refresh()
        notes = {row.sequence: bool(row.chosen) for row in panel.session.rows()}
        self.assertEqual(notes, {"T1": False, "T1CE": True, "T2": False, "FLAIR": True})


def _volume(voxels: Any) -> Any:
    from vtk.util import numpy_support

    image = vtk.vtkImageData()
    image.SetDimensions(voxels.shape[::-1])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(voxels.ravel(), deep=True))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    node.SetAndObserveImageData(image)
    node.CreateDefaultDisplayNodes()
    return node
