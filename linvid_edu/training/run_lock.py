"""One process at a time in the folder of a run."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no flock: nothing is claimed there
    fcntl = None  # type: ignore[assignment]

CLAIM = ".claim"  # holds the number of the process that claimed the folder last

_held: dict[tuple[int, Path], TextIO] = {}  # by thread and folder


class FolderTaken(RuntimeError):
    """Another process holds the folder; it names both."""


@contextmanager
def claimed(folder: str | Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a run's folder for this thread of this process; what it holds already, it may claim again.

    The operating system releases the claim when its process ends, however it ends, so nothing is left to clean up after
    a kill. On several machines, the folder's file system must support ``flock``, as NFS does.

    Args:
        folder: made if missing.
        wait: as long as another process holds it.

    Raises:
        FolderTaken: another process holds it, and ``wait`` is false.
        OSError: the file system has no locks.
    """
    folder = Path(folder).resolve()
    key = threading.get_ident(), folder
    if key in _held:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / CLAIM, "a") as file:
        _held[key] = file
        try:
            _lock(file, folder, wait)
            file.truncate(0)
            print(os.getpid(), file=file, flush=True)
            yield
        finally:
            _held.pop(key, None)


def _lock(file: TextIO, folder: Path, wait: bool) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        owner = (folder / CLAIM).read_text().strip() or "that has just begun"
        raise FolderTaken(
            f"process {owner} trains in {folder} already: wait until it ends, stop it, or choose another folder"
        ) from error


def _forget() -> None:
    """Close the claims that a forked process inherits, so that it does not keep them when its parent is killed."""
    for file in _held.values():
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
