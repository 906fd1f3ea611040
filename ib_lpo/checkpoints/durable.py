"""Bytes that survive a crash of the machine: fsync of files and of the directories that name them; and who may read them.

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


def make(directory: Path) -> None:
    """Make a directory and its parents, and bring all their names to the disk; nothing when it is there. Raises OSError."""
    if directory.is_dir():
        return
    directory.mkdir(parents=True, exist_ok=True)
    for parent in directory.absolute().parents:
        if os.access(parent, os.R_OK | os.W_OK):  # in others this user has made no names
            sync(parent)


def let_read(directory: Path) -> None:
    """Give all files under `directory` the mode of new ones, which those that safetensors writes have not. Raises OSError."""
    os.umask(mask := os.umask(0))
    for folder, _, files in os.walk(directory):
        for name in files:
            Path(folder, name).chmod(0o666 & ~mask)


def sync_tree(directory: Path) -> None:
    """`sync` of everything under `directory`, and of itself last. Raises OSError."""
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
