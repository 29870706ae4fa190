"""The number of threads, who sets it, and its effect on results, memory and idle time."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.child import run_child
from bge_micro import Plan, SentenceTransformer, _core, runtime
from bge_micro.pipeline import Pipeline
from patience import PATIENCE

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return a function that simulates a machine: CPUs, cgroup files, environment."""
    for name in ("BGE_MICRO_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def make(
        cpus: int = 8, group: str = "", files: dict[str, str] | None = None, **environ: str
    ) -> None:
        monkeypatch.setattr(runtime, "_affinity", lambda: set(range(cpus)))
        monkeypatch.setattr(runtime, "_physical_cores", lambda cpus: 0)
        (tmp_path / "self").write_text(group)
        for name, text in (files or {}).items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        quotas = partial(runtime._quotas, tmp_path / "cgroup", tmp_path / "self")
        monkeypatch.setattr(runtime, "_quotas", quotas)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    return make


@pytest.mark.parametrize(
    ("argument", "environ", "expected", "reason"),
    [
        (3, {"BGE_MICRO_NUM_THREADS": "4", "OMP_NUM_THREADS": "5"}, 3, "argument"),
        (None, {"BGE_MICRO_NUM_THREADS": "4", "OMP_NUM_THREADS": "5"}, 4, "BGE_MICRO_NUM_THREADS"),
        (None, {"OMP_NUM_THREADS": "5"}, 5, "OMP_NUM_THREADS"),
        (None, {"BGE_MICRO_NUM_THREADS": "", "OMP_NUM_THREADS": "5,2"}, 5, "OMP_NUM_THREADS"),
        (None, {"OMP_NUM_THREADS": "many"}, 8, "CPUs"),
        (None, {"OMP_NUM_THREADS": "0"}, 8, "CPUs"),
        (None, {}, 8, "CPUs"),
    ],
)
def test_who_decides(
    machine: Callable[..., None],
    argument: int | None,
    environ: dict[str, str],
    expected: int,
    reason: str,
) -> None:
    machine(**environ)
    choice = runtime.choose_threads(argument)
    assert int(choice.value) == expected
    assert reason in choice.reason
    assert SentenceTransformer(threads=argument).threads == expected


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/app/web\n", {"app/web/cpu.max": "250000 100000"}, 2),
        ("0::/app/web\n", {"app/web/cpu.max": "max 100000", "app/cpu.max": "300000 100000"}, 3),
        ("0::/app\n", {"app/cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "400000 100000"}, 4),
        ("0::/host/path\n", {"cpu.max": "200000 100000"}, 2),  # a container sees its own root
        ("0::/app\n", {"app/cpu.max": "2000000 100000"}, 8),  # more than there are CPUs
        ("0::/app\n", {"app/cpu.max": "rubbish"}, 8),
        ("0::/app\n", {"app/cpu.max": "100000 0"}, 8),
        ("0::/app\n", {}, 8),
        (
            "4:memory:/x\n2:cpu,cpuacct:/box\n",
            {"cpu/box/cpu.cfs_quota_us": "300000", "cpu/box/cpu.cfs_period_us": "100000"},
            3,
        ),
        (
            "2:cpu:/box\n",
            {"cpu/box/cpu.cfs_quota_us": "-1", "cpu/box/cpu.cfs_period_us": "100000"},
            8,
        ),
        ("", {"cpu.max": "100000 100000"}, 8),
    ],
)
def test_cgroup_quotas(
    machine: Callable[..., None], group: str, files: dict[str, str], expected: int
) -> None:
    machine(8, group, files)
    choice = runtime.choose_threads()
    assert int(choice.value) == expected
    assert ("quota" in choice.reason) == (expected < 8)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", " 2", "100000"])
def test_a_wrong_number_in_our_variable_is_an_error(
    machine: Callable[..., None], value: str
) -> None:
    machine(BGE_MICRO_NUM_THREADS=value)
    with pytest.raises(ValueError, match=f"BGE_MICRO_NUM_THREADS is '{value}'"):
        SentenceTransformer()


@linux_only
def test_the_affinity_mask_counts() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    program = """
        import os
        os.sched_setaffinity(0, [CPU])
        import bge_micro
        print(bge_micro.SentenceTransformer().threads)
    """
    environ = {"BGE_MICRO_NUM_THREADS": "", "OMP_NUM_THREADS": ""}
    assert run_child(program.replace("CPU", str(allowed[-1])), environ=environ) == 1


@pytest.mark.parametrize("isa", ["sse9", "AVX2", "unsupported"])
def test_an_instruction_set_that_is_not_there(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if isa == "unsupported":
        absent = [name for name, usable in _core.instruction_sets() if not usable]
        if not absent:
            pytest.skip("this CPU has all instruction sets of the build")
        isa = absent[0]
    monkeypatch.setenv("BGE_MICRO_ISA", isa)
    with pytest.raises(ValueError, match=f"BGE_MICRO_ISA is '{isa}'.*scalar"):
        SentenceTransformer()
    program = f"""
        import json, os
        os.environ["BGE_MICRO_ISA"] = "{isa}"
        import bge_micro
        try:
            bge_micro.SentenceTransformer()
        except ValueError as error:
            print(json.dumps(str(error)))
    """
    assert f"'{isa}'" in run_child(program)


def test_an_instruction_set_that_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of the others runs; what chose it, and the error of the refused one, tell why."""
    best = next(name for name, usable in _core.instruction_sets() if usable)
    why = "Linux does not let this process use AMX: No space left on device"
    monkeypatch.setattr(_core, "refusals", lambda: {"amx_int8": why})
    monkeypatch.setattr(
        _core, "instruction_sets", lambda: [("amx_int8", False), (best, True), ("scalar", True)]
    )
    monkeypatch.delenv("BGE_MICRO_ISA", raising=False)
    reason = f"the best that this CPU supports; not amx_int8: {why}"
    assert runtime.choose_isa() == (best, reason)
    monkeypatch.setenv("BGE_MICRO_ISA", "amx_int8")
    with pytest.raises(ValueError, match=f"'amx_int8', which cannot run here. {why}; .*{best}"):
        SentenceTransformer()


def test_threads_change_no_bit(model: SentenceTransformer, sentences: list[str]) -> None:
    expected = model.encode(sentences, threads=1).tobytes()
    environ = dict(os.environ)
    for threads in (2, 3, 5):
        assert model.encode(sentences, threads=threads).tobytes() == expected
        alone = model.encode(sentences[7], threads=threads)
        assert alone.tobytes() == model.encode(sentences[7], threads=1).tobytes()
    assert dict(os.environ) == environ, "os.environ was changed"


@linux_only
def test_threads_are_few_and_sleep() -> None:
    program = """
        import json, os, time
        from bge_micro import SentenceTransformer

        def threads():
            return len(os.listdir("/proc/self/task"))

        model = SentenceTransformer(threads=1)
        before = threads()
        texts = ["some words of a sentence"] * 40
        model.encode(texts)
        model.encode("more " * 400)
        counts = [threads() - before]
        model.encode(texts, threads=2)
        counts.append(threads() - before)
        busy = []
        for _ in range(20):  # on a busy machine a thread may fall asleep late
            start = time.process_time()
            time.sleep(0.5)
            busy.append(time.process_time() - start)
            if busy[-1] < 0.005:
                break
        print(json.dumps([counts, min(busy)]))
    """
    counts, busy = run_child(program)
    assert counts == [0, 1]
    assert busy < 0.005, f"{busy * 1000:.1f} ms of CPU time in half a second of idleness"


def test_one_object_in_sixteen_threads(model: SentenceTransformer, sentences: list[str]) -> None:
    expected = model.encode(sentences)
    bits = model.encode(sentences, precision="ubinary")
    start = threading.Barrier(16)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        start.wait(timeout=PATIENCE)
        for _ in range(4):
            rows = rng.choices(range(len(sentences)), k=rng.randrange(1, 6))
            texts = [sentences[row] for row in rows]
            threads = rng.choice([1, 2, 3])
            if rng.random() < 0.3:
                found: Any = model.encode(texts, precision="ubinary", threads=threads)
                assert found.tobytes() == bits[rows].tobytes()
            else:
                found = model.encode(texts, threads=threads)
                assert found.tobytes() == expected[rows].tobytes()

    with ThreadPoolExecutor(16) as executor:
        list(executor.map(work, range(16)))


def test_other_threads_run_while_the_core_computes(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []
    run = Pipeline._encode

    def timed(*args: Any, **options: Any) -> None:
        times.append(time.monotonic())
        run(*args, **options)
        times.append(time.monotonic())

    monkeypatch.setattr(Pipeline, "_encode", timed)
    texts = ["a long text of many words " * 60] * 20
    most = 0
    for _ in range(20):  # on a busy machine this thread may wake up late
        times.clear()
        worker = threading.Thread(target=model.encode, args=(texts,), kwargs={"threads": 1})
        ticks = []
        worker.start()
        while worker.is_alive():
            time.sleep(0.001)
            ticks.append(time.monotonic())
        worker.join()
        begin, end = times
        most = max(most, sum(begin < tick < end for tick in ticks))
        if most >= 5:
            break
    # If the GIL were not released, there would be at most one, before or after.
    assert most >= 5


@linux_only
@pytest.mark.parametrize("parallelism", ["", "true", "false"])
def test_when_no_thread_can_be_started(parallelism: str) -> None:
    program = """
        import json, os, resource, threading
        from bge_micro import SentenceTransformer

        model = SentenceTransformer(threads=1)
        model.max_seq_length = 16
        # Characters enough for the tokenizer's pool to be wanted, but few tokens.
        texts = [f"row {row} " + "x" * 300 for row in range(70)]
        expected = model.encode(texts)
        if os.geteuid() == 0:  # for whom there is no limit
            os.setgid(65534)
            os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        try:
            threading.Thread(target=int).start()
        except RuntimeError:
            equal = [model.encode(texts, threads=n).tobytes() == expected.tobytes()
                     for n in (2, 3, 8)]
            print(json.dumps(equal))
        else:
            print(json.dumps("threads start all the same"))
    """
    environ = {"TOKENIZERS_PARALLELISM": parallelism} if parallelism else {}
    found = run_child(program, environ=environ)
    if isinstance(found, str):
        pytest.skip(f"this system has no limit of threads: {found}")
    assert found == [True, True, True]


def test_threads_of_a_call(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    run = Pipeline._encode

    def spy(self: Pipeline, batch: Any, plan: Plan, *outputs: Any) -> None:
        seen.append(plan.threads)
        run(self, batch, plan, *outputs)

    monkeypatch.setattr(Pipeline, "_encode", spy)
    model.encode("a")
    model.encode("a", threads=1)
    model.encode(["a"], threads=3, output_value="token_embeddings")
    assert seen == [2, 1, 3]
    assert model.threads == 2
    assert np.array_equal(model.encode("a", threads=1), model.encode("a"))
