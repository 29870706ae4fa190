"""Saves of one index among readers and kills: `PYTHONPATH=tests python -m reliability.index_saves`.

    loads FOLDER COUNT [READERS]   loads beside a process that saves without a pause
    writers FOLDER COUNT           processes that save, or fail to, into one new folder at once
    kills FOLDER COUNT             kill -9 at a random moment of as many saves
    calls FOLDER [STEP]            kill -9 before each call into C that a save makes, one by one
    appends FOLDER [STEP]          the same of appends, each behind the rows that are there

Each prints one JSON object with what was seen; see the functions.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bge_micro.search.saved import SavedIndexError, append_index, new_index, open_index
from patience import PATIENCE

OPTIONS = {"normalize_embeddings": True, "truncate_dim": None, "precision": "float32"}
COLUMNS = 384


def save(folder: Path, generation: int, rows: int = 200, *, fail: bool = False) -> None:
    """Save an index whose every value, text and space id says its generation; or fail half-way.

    Raises:
        InterruptedError: It was to fail.
    """
    vectors = np.full((rows, COLUMNS), generation, np.float32)
    with new_index(folder, f"generation={generation}", OPTIONS, vectors) as writer:
        writer.append([f"{generation} {row}" for row in range(rows)], vectors)
        if fail:
            raise InterruptedError


def load(folder: Path) -> int:
    """Return the generation of the saved index, which must be of one generation only.

    Raises:
        AssertionError: It is a mixture.
    """
    saved = open_index(folder)
    generation = int(saved.space_id.removeprefix("generation="))
    assert list(saved.texts) == [f"{generation} {row}" for row in range(len(saved.texts))]
    assert saved.vectors.shape == (len(saved.texts), COLUMNS)
    assert (saved.vectors == generation).all()
    return generation


def child(work: Callable[[], None]) -> int:
    """Do some work in a child process; return its number."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return number


def exit_code(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def loads(folder: Path, count: int, readers: int = 2) -> dict[str, int]:
    """Load from several processes, so many times at least, while another saves without a pause.

    Each loads until it has seen three generations.

    Returns:
        How many loads gave a whole index, a mixture, no index or another error; how many
        generations were seen; how many saves there were.
    """
    save(folder, 0)

    def save_on() -> None:
        generation = 0
        while True:
            generation += 1
            save(folder, generation)

    def load_on(number: int) -> None:
        seen: Counter[str] = Counter()
        generations = set()
        end = time.monotonic() + PATIENCE
        while seen.total() < count // readers or len(generations) < 3:
            assert time.monotonic() < end, (seen, generations)
            try:
                generations.add(load(folder))
                seen["whole"] += 1
            except AssertionError:
                seen["mixed"] += 1
            except FileNotFoundError:
                seen["missing"] += 1
            except SavedIndexError as error:
                seen["refused"] += 1
                print(error, file=sys.stderr)
        seen["generations"] = len(generations)
        folder.with_name(f"{folder.name}-seen-{number}").write_text(json.dumps(seen))

    writer = child(save_on)
    try:
        total = _in_children(folder, readers, load_on)
        assert os.waitpid(writer, os.WNOHANG) == (0, 0), "the writer failed"
    finally:
        os.kill(writer, signal.SIGKILL)
        exit_code(writer)
    return {"saves": load(folder), **total}


def writers(folder: Path, count: int) -> dict[str, int]:
    """Have four processes save into a new folder every 10 ms, most of which fail half-way.

    Returns:
        How many saves came to their end, failed as they should, or were refused because another
        process was writing; how many folders hold a whole index, or none.
    """
    folder.mkdir()
    begin = time.monotonic()

    def write_on(number: int) -> None:
        rng = random.Random(number)
        seen: Counter[str] = Counter()
        while (place := int((time.monotonic() - begin) * 100)) < count:
            try:
                save(folder / str(place), rng.randrange(1000), rows=3, fail=rng.random() < 0.8)
                seen["saved"] += 1
            except InterruptedError:
                seen["failed"] += 1
            except BlockingIOError:
                seen["busy"] += 1
        folder.with_name(f"{folder.name}-seen-{number}").write_text(json.dumps(seen))

    total = _in_children(folder, 4, write_on)
    for place in folder.iterdir():
        try:
            load(place)
            total["whole"] += 1
            assert data_files(place) == 2
        except FileNotFoundError:
            total["none"] += 1
            assert data_files(place) == 0
    return dict(total)


def _in_children(folder: Path, count: int, work: Callable[[int], None]) -> Counter[str]:
    """Do work in child processes; return the sum of what they have written beside the folder."""
    children = [child(lambda number=number: work(number)) for number in range(count)]  # type: ignore[misc]
    assert [exit_code(number) for number in children] == [0] * count
    total: Counter[str] = Counter()
    for number in range(count):
        result = folder.with_name(f"{folder.name}-seen-{number}")
        total.update(json.loads(result.read_text()))
        result.unlink()
    return total


def data_files(folder: Path) -> int:
    return sum(path.suffix in (".npy", ".jsonl", ".partial") for path in folder.iterdir())


class Kills:
    """Saves that are killed: each must leave the old index or the new one, whole.

    Attributes:
        seen: How many saves left the old or the new index, and were killed with their files there.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder = folder
        self.rows = rows
        self.generation = self.before = 0
        self.seen: Counter[str] = Counter()
        save(folder, 0, rows)

    def save(self, kill: Callable[[int], None], work: Callable[[Callable[[], None]], None]) -> bool:
        """Save the next generation in a child, and look at what is there when it has ended.

        Args:
            kill: Called with the child's number after it has begun.
            work: Runs the save in the child.

        Returns:
            Whether it came to its end.
        """
        self.generation += 1
        number = child(lambda: work(lambda: save(self.folder, self.generation, self.rows)))
        kill(number)
        code = exit_code(number)
        assert code in (0, -signal.SIGKILL), code
        found = load(self.folder)
        assert found in (self.before, self.generation), found
        assert code or found == self.generation
        self.seen["killed" if code else "finished"] += 1
        self.seen["old" if found == self.before else "new"] += 1
        self.seen["left files"] += data_files(self.folder) > 2
        self.before = found
        return code == 0

    def result(self) -> dict[str, int]:
        """Save once more, which removes what the killed ones have left."""
        save(self.folder, self.generation + 1)
        assert load(self.folder) == self.generation + 1
        assert data_files(self.folder) == 2, sorted(self.folder.iterdir())
        return dict(self.seen)


def kills(folder: Path, count: int) -> dict[str, int]:
    """Kill saves at random moments: so many, some of which left files and the old index."""
    run = Kills(folder, 200)
    rng = random.Random(17)
    begin = time.monotonic()
    for generation in range(1, 11):
        save(folder, generation)
    span = (time.monotonic() - begin) / 10
    run.generation = run.before = 10

    def kill(number: int) -> None:
        time.sleep(rng.random() * span * 1.5)
        os.kill(number, signal.SIGKILL)

    end = time.monotonic() + PATIENCE
    while run.seen["killed"] < count or not (run.seen["old"] and run.seen["left files"]):
        assert time.monotonic() < end, run.seen
        run.save(kill, lambda work: work())
    return run.result()


def killed_at(call: int, work: Callable[[], None]) -> None:
    """Do some work, and die before so manyth call into C."""
    left = call

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal left
        if event == "c_call":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    work()


def calls(folder: Path, step: int = 1) -> dict[str, int]:
    """Kill a save before its first call into C, another before its second, or every so manyth."""
    run = Kills(folder, 2)  # whose rows, too, are a few calls each
    at = 0
    while not run.save(lambda number: None, lambda work: killed_at(at, work)):  # noqa: B023
        at += step
    return run.result()


def append(folder: Path) -> None:
    """Append two rows, whose vectors, texts, ids and metadata say their numbers."""
    facts = open_index(folder).facts
    rows = range(facts.rows, facts.rows + 2)
    vectors = np.repeat(np.array(rows, np.float32)[:, None], COLUMNS, axis=1)
    names = [str(row) for row in rows]
    with append_index(folder, facts, vectors) as writer:
        writer.append(names, vectors, names, list(rows))


def appended(folder: Path) -> int:
    """Return the rows of an index that `append` has made, which must be these and no others."""
    saved = open_index(folder)
    rows = list(range(saved.facts.rows))
    assert list(saved.texts) == list(saved.ids or ()) == [str(row) for row in rows]
    assert list(saved.metadata or ()) == rows
    assert (saved.vectors == np.array(rows)[:, None]).all()
    path = folder / saved.facts.files["vectors"].name
    assert len(np.load(path, mmap_mode="r")) >= len(rows)
    return len(rows)


def appends(folder: Path, step: int = 1) -> dict[str, int]:
    """Kill an append before its first call into C, another before its second, or so on.

    Returns:
        How many appends were killed or came to their end, and left the rows that were there before
        or two more.
    """
    with new_index(folder, "space", OPTIONS, np.empty((0, COLUMNS), np.float32)):
        pass
    append(folder)
    before, code = appended(folder), 1
    seen: Counter[str] = Counter()
    at = 0
    while code:
        code = exit_code(child(lambda: killed_at(at, lambda: append(folder))))  # noqa: B023
        assert code in (0, -signal.SIGKILL), code
        found = appended(folder)
        assert found in (before, before + 2), found
        assert code or found == before + 2
        seen["killed" if code else "finished"] += 1
        seen["old" if found == before else "new"] += 1
        before, at = found, at + step
    assert data_files(folder) == 4, sorted(folder.iterdir())
    return dict(seen)


def main() -> None:
    what, folder, *counts = sys.argv[1:]
    work = {"loads": loads, "writers": writers, "kills": kills, "calls": calls, "appends": appends}[
        what
    ]
    print(json.dumps(work(Path(folder), *map(int, counts))))  # type: ignore[operator]


if __name__ == "__main__":
    main()
