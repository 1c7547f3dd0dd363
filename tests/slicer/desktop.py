"""A stand-in for what of desktop Slicer is on no package index: `qt`, `ctk`, the application, scripted modules.

The widgets are real Qt, through PySide6, with PythonQt's ways: a property is read without brackets, a signal is
connected by its signature. The scene, its nodes and logics are Slicer's own (slicer-core). What PythonQt, the real
Segment Editor or the layout manager do beyond that is not shown by tests on this.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import slicer
import slicer.util
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

_MODULE = Path(__file__).parents[2] / "SlicerExtension" / "BrainMVP"
_CLASSES = (
    "QWidget", "QFrame", "QLabel", "QLineEdit", "QPushButton", "QToolButton", "QCheckBox", "QComboBox", "QTableWidget",
    "QProgressBar", "QPlainTextEdit", "QHeaderView",
)  # fmt: skip


def _connect(self: Any, signature: str, receiver: Callable[..., Any]) -> None:
    """PythonQt's way: `button.connect("clicked(bool)", function)`."""
    signal = getattr(self, signature.split("(")[0])
    signal.connect((lambda: receiver()) if signature.endswith("()") else lambda value: receiver(value))


def _pythonic(base: type) -> type:
    """Return a subclass whose Qt properties are read as Python properties."""
    members: dict[str, Any] = {"connect": _connect}
    meta = base.staticMetaObject
    for number in range(meta.propertyCount()):
        name = meta.property(number).name()
        asked = (name, *(f"{verb}{name[0].upper()}{name[1:]}" for verb in ("is", "has")))
        getter = next((g for g in asked if callable(getattr(base, g, None))), None)
        if getter:
            members[name] = property(lambda self, getter=getter: getattr(super(made, self), getter)())
    # PySide's own code calls these, so they stay methods.
    for name in ("pos", "size", "rect", "geometry"):
        members.pop(name, None)
    made = type(base.__name__, (base,), members)
    return made


def _of_qt(name: str) -> Any:
    for source in (QtCore, QtGui, QtWidgets):
        if hasattr(source, name):
            return getattr(source, name)
    raise AttributeError(name)


class ctkCollapsibleButton(_pythonic(QtWidgets.QGroupBox)):  # noqa: N801  # its name in Slicer
    """A box with a title that opens and closes."""

    contentsCollapsed = QtCore.Signal(bool)  # noqa: N815
    connect = _connect

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setCheckable(True)
        self._text = ""
        self.toggled.connect(self._show)

    def _show(self, opened: bool) -> None:
        for child in self.findChildren(
            QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly
        ):
            child.setVisible(opened)
        self.contentsCollapsed.emit(not opened)

    @property
    def collapsed(self) -> bool:
        return not QtWidgets.QGroupBox.isChecked(self)

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.Type.DynamicPropertyChange:
            name = bytes(event.propertyName()).decode()
            if name == "text":
                self.setTitle(self.property("text"))
            elif name == "collapsed":
                self.setChecked(not self.property("collapsed"))
        return super().event(event)


class SegmentEditor(_pythonic(QtWidgets.QLabel)):
    """Stands where the Segment Editor is: shows the segments' names, and what it was given."""

    effect, keys = "Paint", False
    choice = True  # of another segmentation, by its own selector

    def setMRMLScene(self, scene: Any) -> None:
        self.scene = scene

    def setSegmentationNodeSelectorVisible(self, visible: bool) -> None:
        self.choice = visible

    def setMaximumNumberOfUndoStates(self, number: int) -> None:
        self.undo = number

    def installKeyboardShortcuts(self) -> None:
        self.keys = True

    def uninstallKeyboardShortcuts(self) -> None:
        self.keys = False

    def setActiveEffect(self, effect: Any) -> None:
        self.effect = effect

    def removeViewObservations(self) -> None:
        self.effect = None

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self.node = node

    def setSourceVolumeNode(self, node: Any) -> None:
        self.source = node

    def setSegmentationNode(self, node: Any) -> None:
        self.segmentation = node
        segments = node.GetSegmentation() if node else None
        names = (
            [segments.GetNthSegment(n).GetName() for n in range(segments.GetNumberOfSegments())]
            if node
            else []
        )
        self.setText("\n".join(["Slicer's Segment Editor is here, with:", *names]))


class Desktop:
    """One application with one scene; `install` puts it where modules look for it."""

    def __init__(self, scene: Any, settings: Path) -> None:
        self.application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
        self.scene = scene
        self.settings = settings
        self.slices: dict[str, Any] = {}
        self.folder = ""
        self.widget: Any = None

    def install(self, patch: Any) -> None:
        """Make `qt`, `ctk`, `slicer.app` and the rest importable while a test runs."""
        classes = {name: _pythonic(getattr(QtWidgets, name)) for name in _CLASSES}
        qt = ModuleType("qt")
        qt.__getattr__ = _of_qt
        qt.__dict__.update(classes)
        qt.QTimer, qt.QShortcut = (
            type(c.__name__, (c,), {"connect": _connect}) for c in (QtCore.QTimer, QtGui.QShortcut)
        )
        ini = str(self.settings / "Slicer.ini")
        qt.QSettings = lambda: QtCore.QSettings(ini, QtCore.QSettings.Format.IniFormat)
        qt.QFileDialog = SimpleNamespace(getExistingDirectory=lambda parent, title: self.folder)
        ctk = ModuleType("ctk")
        ctk.ctkCollapsibleButton = ctkCollapsibleButton
        patch.setitem(sys.modules, "qt", qt)
        patch.setitem(sys.modules, "ctk", ctk)
        i18n = ModuleType("slicer.i18n")
        i18n.tr, i18n.translate = (lambda text: text), (lambda context, text: text)
        patch.setitem(sys.modules, "slicer.i18n", i18n)
        patch.setitem(sys.modules, "slicer.ScriptedLoadableModule", _scripted())
        patch.setattr(slicer, "mrmlScene", self.scene, raising=False)
        patch.setattr(slicer, "qMRMLSegmentEditorWidget", SegmentEditor, raising=False)
        app = SimpleNamespace(
            slicerUserSettingsFilePath=ini,
            layoutManager=lambda: self,
            startupEnvironment=QtCore.QProcessEnvironment.systemEnvironment,
        )
        patch.setattr(slicer, "app", app, raising=False)
        patch.setattr(slicer.util, "loadUI", lambda path: _load_ui(path, classes), raising=False)
        patch.setattr(slicer.util, "childWidgetVariables", _children, raising=False)
        patch.setattr(slicer.util, "mainWindow", lambda: None, raising=False)

    def widgetRepresentation(self) -> Any:
        """Return the module's widget, which is its own `self()` here."""
        return SimpleNamespace(self=lambda: self.widget)

    def sliceWidget(self, name: str) -> Any:
        """Return a slice view; only its logic, which is Slicer's own."""
        node = next(
            (n for n in self.scene.GetNodesByClass("vtkMRMLSliceNode") if n.GetLayoutName() == name), None
        )
        if node is not None and name not in self.slices:
            self.slices[name] = slicer.vtkMRMLSliceLogic()
            self.slices[name].SetMRMLScene(self.scene)
            self.slices[name].SetSliceNode(node)
        return SimpleNamespace(sliceLogic=lambda: self.slices[name]) if node is not None else None


def _load_ui(path: str, classes: dict[str, type]) -> Any:
    class Loader(QtUiTools.QUiLoader):
        def createWidget(self, kind: str, parent: Any = None, name: str = "") -> Any:
            made = {**classes, "ctkCollapsibleButton": ctkCollapsibleButton}.get(kind)
            if made is None:
                return super().createWidget(kind, parent, name)
            widget = made(parent)
            widget.setObjectName(name)
            return widget

    top = Loader().load(path)
    for section in top.findChildren(ctkCollapsibleButton):
        section._show(not section.collapsed)  # now that what is in it is there
    return top


def _children(top: Any) -> Any:
    return SimpleNamespace(
        **{child.objectName: child for child in top.findChildren(QtWidgets.QWidget) if _name(child)}
    )


def _name(child: Any) -> str:
    name = child.objectName
    return "" if callable(name) else name


def _scripted() -> ModuleType:
    module = ModuleType("slicer.ScriptedLoadableModule")

    class ScriptedLoadableModule:
        def __init__(self, parent: Any) -> None:
            self.parent = parent

    class ScriptedLoadableModuleWidget:
        def __init__(self, parent: Any = None) -> None:
            self.parent = parent or QtWidgets.QWidget()
            self.layout = QtWidgets.QVBoxLayout(self.parent)
            self.moduleName = type(self).__name__.removesuffix("Widget")

        def setup(self) -> None:
            pass

        def resourcePath(self, name: str) -> str:
            return str(_MODULE / "Resources" / name)

    class ScriptedLoadableModuleLogic:
        def __init__(self, parent: Any = None) -> None:
            self.moduleName = type(self).__name__.removesuffix("Logic")

        def getParameterNode(self) -> Any:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is None:
                node = slicer.vtkMRMLScriptedModuleNode()
                node.SetSingletonTag(self.moduleName)
                node.SetModuleName(self.moduleName)
                node.SetName(self.moduleName)
                node = slicer.mrmlScene.AddNode(node)
            return node

    import unittest

    class ScriptedLoadableModuleTest(unittest.TestCase):
        def runTest(self) -> None:
            pass

    for cls in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(module, cls.__name__, cls)
    return module
