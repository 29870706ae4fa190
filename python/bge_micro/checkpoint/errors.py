"""Errors that say which file is bad, what was found there, what was expected and what to do."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A model folder, or a file in it, cannot be used; the message says why and what to do."""


class MissingFileError(FileNotFoundError, CheckpointError):
    """A file or folder that a model needs does not exist."""


class ModelWarning(UserWarning):
    """A model is loaded, but probably not the one that is wanted; the message says why."""
