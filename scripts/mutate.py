"""Mutation tests: make small changes one by one, and run the tests that should fail.

    python scripts/mutate.py [--only TEXT] [--survivors | --resume] [--list]

Works on a copy of the sources in build/mutation, and compiles only what a change touches; of the
kernels, only plain C++ and the best instruction set of this CPU. Mutants of an instruction set that
this CPU lacks are named and left out. Results are added to build/mutation/report.json. --survivors
runs the mutants that survived in it, --resume those that are not in it yet, --only those whose file
or edit contains a text. The exit code is 1 if a mutant survives.

Needs cmake, ninja, pybind11 and the tests' packages.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from mutation.mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build/mutation"
TREE = WORK / "tree"
BUILD = TREE / "build/mutants"
SITE = BUILD / "site"
REPORT = WORK / "report.json"

# CPU seconds of a test run: a mutant that loops for ever counts as noticed.
PATIENCE = 300

# The tests that should notice a change, nearest first.
TESTS: dict[str, list[str]] = {
    "cpp/kernels/quantize.h": ["tests/core/test_quantize.py", "tests/core/test_model.py"],
    "cpp/kernels/layernorm.h": ["tests/core/test_layer_norm.py", "tests/core/test_hard_models.py"],
    "cpp/kernels/exp.h": ["tests/core/test_gelu_exp.py", "tests/core/test_attention.py"],
    "cpp/kernels/gelu.h": ["tests/core/test_gelu_exp.py"],
    "cpp/kernels/linear.h": ["tests/core/test_linear_int8.py", "tests/core/test_linear_float32.py"],
    "cpp/kernels/attention": ["tests/core/test_attention.py"],
    "cpp/kernels/pool.h": ["tests/core/test_pool.py"],
    "cpp/kernels/packed.h": ["tests/core/test_linear_int8.py", "tests/core/test_linear_float32.py"],
    "cpp/kernels/tile_unit.h": ["tests/core/test_tile_unit.py"],
    "cpp/kernels/soft_fma.h": ["tests/core/test_soft_fma.py"],
    "cpp/isa/": ["tests/core"],
    "cpp/model/pack": ["tests/core/test_linear_int8.py", "tests/core/test_model_errors.py"],
    "cpp/model/encoder": ["tests/core/test_model.py"],
    "cpp/model/": ["tests/core/test_model_errors.py", "tests/core/test_model.py"],
    "cpp/tokenize/": ["tests/tokenization/test_plain_texts.py"],
    "cpp/engine": ["tests/core/test_model_errors.py", "tests/core/test_model.py", "tests/api"],
    "python/bge_micro/checkpoint/safetensors_file": [
        "tests/checkpoint/test_safetensors_file.py",
        "tests/checkpoint/test_hostile_files.py",
    ],
    "python/bge_micro/checkpoint/json_file": [
        "tests/checkpoint/test_encoder_config.py",
        "tests/checkpoint/test_safetensors_file.py",
        "tests/checkpoint/test_modules_json.py",
        "tests/checkpoint/test_damaged_folders.py",
    ],
    "python/bge_micro/checkpoint/config": ["tests/checkpoint/test_encoder_config.py"],
    "python/bge_micro/checkpoint/encoder_config": ["tests/checkpoint/test_encoder_config.py"],
    "python/bge_micro/checkpoint/families": ["tests/checkpoint/test_encoder_config.py"],
    "python/bge_micro/checkpoint/modules": ["tests/checkpoint/test_modules_json.py"],
    "python/bge_micro/checkpoint/hub_cache": ["tests/checkpoint/test_hub_cache.py"],
    "python/bge_micro/checkpoint/": [
        "tests/checkpoint/test_damaged_folders.py",
        "tests/checkpoint/test_load_folder.py",
        "tests/checkpoint/test_hostile_files.py",
    ],
    "python/bge_micro/tokenization/": ["tests/tokenization/test_cutting.py", "tests/tokenization"],
}
# After them the tests that compare vectors of whole models, or test the loader.
CPP_TESTS = ["tests/core/test_model.py", "tests/invariance/test_golden.py"]
PYTHON_TESTS = ["tests/fuzz"]
# These read another build, and count its instructions.
NOT_HERE = [
    "--ignore=tests/core/test_object_files.py",
    "--ignore=tests/core/test_instruction_count.py",
]


def run(command: list[str], **options: object) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]


def prepare(chosen: list[Mutant]) -> None:
    """Copy the sources, and build what has changed of the core, if mutants of it are chosen."""
    if any(BUILD.rglob("*.kept")):  # an earlier run was killed
        shutil.rmtree(TREE)
    for name in ("cpp", "python"):
        shutil.copytree(
            ROOT / name,
            TREE / name,
            ignore=shutil.ignore_patterns("__pycache__"),
            dirs_exist_ok=True,
        )
    core = build_core() if any("cpp/" in mutant.file for mutant in chosen) else installed_core()
    # The package for Python: links to the copy's files, and the module.
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(TREE / "python/bge_micro", SITE / "bge_micro", copy_function=os.symlink)
    (SITE / "bge_micro" / core.name).symlink_to(core)
    imported = from_site("import bge_micro; print(bge_micro.__file__)")
    if not Path(imported).is_relative_to(SITE):  # an editable install wins over PYTHONPATH
        sys.exit(f"Python imports {imported}: use an environment without an editable install")


def installed_core() -> Path:
    spec = find_spec("bge_micro._core")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def build_core() -> Path:
    for name in ("CMakeLists.txt", "CMakePresets.json"):
        shutil.copy2(ROOT / name, TREE)
    pybind11 = subprocess.run(
        [sys.executable, "-m", "pybind11", "--cmakedir"], check=True, capture_output=True, text=True
    ).stdout.strip()
    run(
        [
            *("cmake", "--preset", "mutants", f"-Dpybind11_DIR={pybind11}"),
            f"-DPython_EXECUTABLE={sys.executable}",
        ],
        cwd=TREE,
    )
    run(["cmake", "--build", str(BUILD), f"-j{os.environ.get('JOBS', '1')}"])
    return module()


def module() -> Path:
    return next(BUILD.glob("_core.*.so"))


def usable_isas() -> list[str]:
    """Return the instruction sets that run on this CPU, best first."""
    return from_site(
        "from bge_micro import _core\n"
        "print(*(name for name, usable in _core.instruction_sets() if usable))"
    ).split()


def from_site(code: str) -> str:
    """Run code with the package in SITE; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SITE)},
    )
    return done.stdout.strip()


def touched_sources(mutant: Mutant, best: str) -> list[str]:
    """Return the files to compile again."""
    if mutant.file.endswith(".py"):
        return []
    if mutant.file.endswith(".cpp"):
        return [mutant.file]
    isas = {mutant.isa} if mutant.isa else {"scalar", best}
    sources = [f"cpp/isa/{isa}.cpp" for isa in sorted(isas)]
    if mutant.file.endswith("soft_fma.h"):
        sources.append("cpp/bindings/register_kernels.cpp")
    return sources


@contextmanager
def mutated(mutant: Mutant, best: str) -> Iterator[bool]:
    """Apply a mutant and build it; yield whether it compiles. Afterwards restore everything."""
    path = TREE / mutant.file
    text = path.read_text()
    assert text.count(mutant.before) == 1, f"{mutant.file}: not once: {mutant.before}"
    wanted = {str(TREE / source) for source in touched_sources(mutant, best)}
    chosen = [command for command in compile_commands() if command["file"] in wanted]
    assert len(chosen) == len(wanted), f"{mutant.file}: no commands for {wanted}"
    objects = [BUILD / shlex.split(command["command"])[-3] for command in chosen]
    built = [*objects, module()] if chosen else []
    kept = [(file, file.with_suffix(".kept")) for file in built]
    for file, copy in kept:
        shutil.copy2(file, copy)
    try:
        path.write_text(text.replace(mutant.before, mutant.after))
        yield all(
            subprocess.run(
                command["command"], shell=True, cwd=BUILD, capture_output=True, check=False
            ).returncode
            == 0
            for command in [*chosen, *([{"command": link_command()}] if chosen else [])]
        )
    finally:
        path.write_text(text)
        for file, copy in kept:
            shutil.move(copy, file)


def compile_commands() -> list[dict[str, str]]:
    path = BUILD / "compile_commands.json"
    commands: list[dict[str, str]] = json.loads(path.read_text()) if path.exists() else []
    return commands


def link_command() -> str:
    done = subprocess.run(
        ["ninja", "-C", str(BUILD), "-t", "commands", module().name],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()[-1]


def tests_for(mutant: Mutant) -> list[str]:
    near = next(tests for start, tests in TESTS.items() if mutant.file.startswith(start))
    further = CPP_TESTS if mutant.file.startswith("cpp/") else PYTHON_TESTS
    return [*near, *(test for test in further if test not in near)]


def first_failure(tests: list[str]) -> str:
    """Run tests until one fails; return which, or "" if none does."""
    started = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p"),
            *("no:faulthandler", "--tb=no", *NOT_HERE, *tests),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(SITE), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE)),
    )
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if failed:
        return failed[0].split(" - ")[0].split(maxsplit=1)[1]
    seconds = time.monotonic() - started
    return f"exit code {done.returncode} after {seconds:.0f} s"


def examine(mutant: Mutant, best: str) -> str:
    """Return the test that noticed a mutant, or ""."""
    with mutated(mutant, best) as compiles:
        return first_failure(tests_for(mutant)) if compiles else "the compiler"


def key(mutant: Mutant) -> str:
    return f"{mutant.file}: {mutant.before} -> {mutant.after or 'nothing'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--survivors", action="store_true")
    which.add_argument("--resume", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    chosen = [mutant for mutant in MUTANTS if arguments.only in key(mutant)]
    if arguments.survivors:
        chosen = [mutant for mutant in chosen if report.get(key(mutant)) == ""]
    if arguments.resume:
        chosen = [mutant for mutant in chosen if key(mutant) not in report]
    if arguments.list:
        print("\n".join(map(key, chosen)))
        return 0
    prepare(chosen)
    usable = usable_isas()
    best = usable[0]
    for mutant in chosen:
        if mutant.isa not in ("", *usable):
            print(f"needs {mutant.isa}: {key(mutant)}", flush=True)
    chosen = [mutant for mutant in chosen if mutant.isa in ("", *usable)]
    sound: set[str] = set()  # tests that pass without any mutant
    for mutant in chosen:
        killer = report[key(mutant)] = examine(mutant, best)
        if "::" in killer and killer not in sound:
            assert not first_failure([killer]), f"fails without any mutant: {killer}"
            sound.add(killer)
        print(f"{'dead    ' if killer else 'SURVIVES'} {key(mutant)}  [{killer}]", flush=True)
        REPORT.write_text(json.dumps(report, indent=1))
    survivors = [mutant for mutant in MUTANTS if report.get(key(mutant)) == ""]
    known = [mutant for mutant in MUTANTS if key(mutant) in report]
    print(f"{len(known) - len(survivors)} of {len(known)} mutants die ({best})")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
