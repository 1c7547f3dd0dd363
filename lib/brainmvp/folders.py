"""Which folders below one may hold data: not hidden ones, and no circle of links."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath


def folders_to_enter(
    parent: str | os.PathLike[str], names: Iterable[str], *, skip: tuple[str, ...] = ()
) -> list[str]:
    """Return which folders of a parent may hold data, sorted: not hidden ones, those to skip or circles of links.

    A cache or an unpacked archive may lie beside the data: hidden folders are not data.
    """
    return sorted(
        name
        for name in names
        if not name.startswith(".") and name not in skip and not _leads_back(Path(parent, name))
    )


def data_folders(root: Path, closed: list[str]) -> Iterator[tuple[PurePosixPath, list[str], list[str]]]:
    """Yield a folder and each below it that may hold data: relative, the names of its folders, and of its files.

    Sorted, and without hidden files (macOS puts a `._` file beside each on other disks). Clear the list of folders to
    go no deeper there. Folders that may not be looked into go to `closed`.
    """
    for folder, folders, names in os.walk(
        root, onerror=lambda e: closed.append(e.filename), followlinks=True
    ):
        folders[:] = folders_to_enter(folder, folders)
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        yield relative, folders, sorted(name for name in names if not name.startswith("."))


def _leads_back(folder: Path) -> bool:
    """Tell whether a folder is a link to one that it lies in: following it would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
