"""One process at a time in the folder of a run."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLAIM = ".claim"  # holds the number of the process that claimed the folder last


@contextmanager
def claimed(folder: str | Path) -> Iterator[None]:
    """Hold a run's folder for this process; wait as long as another process holds it.

    The operating system releases the claim when its process ends, however it ends, so nothing is left to clean up after
    a kill. On several machines, the folder's file system must support ``flock``, as NFS does.

    Args:
        folder: made if missing.

    Raises:
        OSError: the file system has no locks.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / CLAIM, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        yield
