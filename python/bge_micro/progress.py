"""Progress bars, which need the extra ``bge-micro[progress]``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


def _ignore(done: int) -> None:
    """Replace a bar that is not shown."""


def can_show() -> bool:
    """Whether a bar can be shown: whether tqdm is installed."""
    from importlib.util import find_spec  # half a millisecond of a start

    return find_spec("tqdm") is not None


def progress_bar(show: bool | None, total: int) -> AbstractContextManager[Callable[[int], object]]:
    """Show a bar while the body of a with block runs, which calls what it gets with each number.

    Args:
        show: True or False; None shows a bar only if this package's logger is at INFO or DEBUG
            and tqdm is installed.
        total: The number at which the bar is full.

    Raises:
        ImportError: A bar was asked for (True), but tqdm is not installed.
    """
    if show is None:
        # If logging has not been imported, no level is set; importing it takes 3 ms.
        logging = sys.modules.get("logging")
        show = (
            logging is not None
            and logging.getLogger("bge_micro").isEnabledFor(logging.INFO)
            and can_show()
        )
    return _bar(total) if show else nullcontext(_ignore)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], object]]:
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError(
            "show_progress_bar=True needs tqdm: pip install 'bge-micro[progress]'", name=error.name
        ) from error
    with tqdm(total=total, desc="Texts", unit="text") as bar:
        yield bar.update
