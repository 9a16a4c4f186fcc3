"""One process at a time in the folder of a run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLAIM = ".claim"  # the lock
CLAIMED_BY = ".claimed-by"  # the ID of the process that holds the lock, or held it last


class FolderTaken(RuntimeError):
    """Another process holds the folder; the message names both."""


@contextmanager
def claimed(folder: str | Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the folder of a run for this thread, which may claim it again inside the ``with`` block.

    The operating system releases the claim when the process ends, even if it is killed. On several machines the file
    system must support locks across machines: NFS 4 does, NFS 3 only with its lock service, and some cluster file
    systems only if they are mounted with locks. Without them, two machines can claim the same folder at once.

    Args:
        folder: Path of the folder; it is made if it is missing.
        wait: Whether to wait until the folder is free.

    Raises:
        FolderTaken: Another process or thread holds the folder, and ``wait`` is false.
        OSError: The file system has no locks.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / CLAIM, is_singleton=True)  # one lock per folder, so that a thread may claim it twice
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise FolderTaken(
            f"process {_holder(folder)} trains in {folder} already: wait until it ends, stop it, or choose another "
            "folder"
        ) from error
    try:
        (folder / CLAIMED_BY).write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    """Return the ID of the process that holds a folder."""
    with suppress(OSError):
        return (folder / CLAIMED_BY).read_text(encoding="utf-8").strip() or "that has just begun"
    return "that has just begun"
