"""Keys, and clicks that paint: they work while the module is shown, and only then."""

from __future__ import annotations

from typing import Any, Callable

import qt
import slicer


class Keys:
    """The module's keys and those of its Segment Editor.

    actions: what each key does, by the key; act: called with it.
    """

    def __init__(
        self,
        top: Any,
        editor: Any,
        actions: dict[str, Callable[[], Any]],
        act: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._editor = editor
        self._shortcuts = []
        for keys, action in actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(keys), slicer.util.mainWindow() or top)
            shortcut.connect("activated()", lambda action=action: act(action))
            shortcut.setEnabled(False)
            self._shortcuts.append(shortcut)

    def enter(self) -> None:
        """The module is shown."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(True)
        self._editor.installKeyboardShortcuts()

    def leave(self) -> None:
        """Another module is shown: no key works any more, and no click in a view paints."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
        self._editor.uninstallKeyboardShortcuts()
        self._editor.setActiveEffect(None)
        self._editor.removeViewObservations()
