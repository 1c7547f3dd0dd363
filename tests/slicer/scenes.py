"""A scene as 3D Slicer has it at its start."""

import slicer


def make_scene() -> slicer.vtkMRMLScene:
    """Return a scene as Slicer has it at the start: a layout, slice views, a crosshair, default colours."""
    scene = slicer.vtkMRMLScene()
    colors = slicer.vtkMRMLColorLogic()
    colors.SetMRMLScene(scene)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    layout = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    layouts = slicer.vtkMRMLLayoutLogic()
    layouts.SetMRMLScene(scene)
    scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    segmentations = slicer.vtkSlicerSegmentationsModuleLogic()  # brings the rules that make segments' voxels
    segmentations.SetMRMLScene(scene)
    files, data = (
        slicer.vtkMRMLRemoteIOLogic(),
        slicer.vtkDataIOManagerLogic(),
    )  # without them no bundle is written
    files.SetMRMLScene(scene)
    files.AddDataIOToScene()
    data.SetMRMLApplicationLogic(application := slicer.vtkMRMLApplicationLogic())
    data.SetAndObserveDataIOManager(files.GetDataIOManager())
    scene.logics = colors, layouts, segmentations, files, data, application  # as long as the scene
    return scene
