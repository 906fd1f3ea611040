"""Bytes that survive a crash of the machine: fsync of files and of the directories that name them.

What is not yet synced may be lost although its writer has ended. Whoever makes something count syncs all that it counts on first.
"""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Bring a file's bytes, or a directory's names, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """`sync` of everything under `directory`, and of itself last. Raises OSError."""
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
