"""Measure everything and write a report: `python -m bench --onnx FILE --out FOLDER`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import bge_micro
from bench import machine
from bench.files import ModelFiles
from bench.kernels import measure_kernels
from bench.markdown import markdown
from bench.peak import INSTRUCTIONS, PeakProbe
from bench.results import Report
from bench.rounds import measure
from bench.sides import PEERS, SideSpec, other_build, our_name, our_sides
from bench.startup import measure_scaling, measure_startup
from bench.texts import queries
from bench.workloads import Workload, main_workloads, sweep_workloads
from bge_micro import SentenceTransformer, _core
from bge_micro.atomic import atomic_file

PARTS = ("sides", "kernels", "startup", "scaling")
STARTUP_PAIRS = 40
SLOW_ISA = "scalar"  # for machines without a better one; it takes part only if --sides names it
# These CPUs have no instruction for a fused multiply-add: 4 ms a token and more.
VERY_SLOW = (
    our_name("int8", SLOW_ISA),
    our_name("float32", SLOW_ISA),
    our_name("float32", "sse41"),
)


def main() -> None:
    """Run the parts asked for; write report.md, report.json and, of the sides, report.png."""
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    models = arguments.out / "models"
    models.mkdir(exist_ok=True)
    files = ModelFiles(arguments.onnx.resolve(), models.resolve())
    cpus = arguments.cpus or machine.usable_cpus()
    machine.run_on(cpus[0])
    isas = [name for name, usable in _core.instruction_sets() if usable]
    report = Report(
        machine.describe() | {"bge-micro": bge_micro.__version__}, isas[0], make_workloads()
    )
    probe = make_probe(arguments.out)
    if "kernels" in arguments.parts and probe:
        say("kernels")
        report.kernels = measure_kernels(probe, arguments.rounds)
    if "startup" in arguments.parts:
        say("fresh processes")
        report.startup = measure_startup(files, cpus[:1], STARTUP_PAIRS)
    if "scaling" in arguments.parts:
        report.scaling = measure_scaling(queries(1000), cpus[:1], say)
    if "sides" in arguments.parts:
        measure_sides(report, arguments, files, cpus, isas, probe)
    write(report, arguments.out)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--onnx", type=existing_file, required=True, help="the hub's model_quantized.onnx"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for results and models")
    parser.add_argument("--rounds", type=int, default=5, help="of everything but start-up (5)")
    parser.add_argument(
        "--cpus",
        type=cpu_list,
        help="CPUs to run on, such as 0,1: the first alone, then the first two",
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sides", default="", help="only sides with this in their names")
    parser.add_argument("--compare", help="a Python that has another build of bge-micro installed")
    return parser.parse_args()


def existing_file(text: str) -> Path:
    """Return the path of a file that exists."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


def cpu_list(text: str) -> list[int]:
    """Read "0,1"."""
    return [int(part) for part in text.split(",")]


def make_workloads() -> list[Workload]:
    """Return what the sides run; the model's tokenizer counts the tokens."""
    tokenizer = SentenceTransformer().tokenizer

    def count(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    return [*main_workloads(count), *sweep_workloads(count)]


def make_probe(folder: Path) -> PeakProbe | None:
    """Compile the probe; without a compiler the report has no shares of the peak."""
    try:
        return PeakProbe(folder)
    except Exception as error:
        say(f"no peak, because bench/peak.cpp does not compile: {error}")
        return None


def measure_sides(
    report: Report,
    arguments: argparse.Namespace,
    files: ModelFiles,
    cpus: list[int],
    isas: list[str],
    probe: PeakProbe | None,
) -> None:
    """Run the rounds: all sides on one thread, the int8 sides also on two."""
    best = report.best_isa
    specs = our_sides([isa for isa in isas if isa != SLOW_ISA or isa in arguments.sides])
    if arguments.compare:
        specs += [other_build(spec, arguments.compare) for spec in our_sides([best])]
    specs = [spec for spec in [*specs, *PEERS] if arguments.sides in spec.name]
    reference = our_sides([best])[1]
    instruction = INSTRUCTIONS.get((best, "int8"))
    report.int8_instruction = instruction.name if instruction else ""

    def gauge() -> float:
        return probe.multiply_adds(instruction) if probe and instruction else 0.0

    for threads in (1, 2):
        if len(cpus) < threads:
            continue
        taking_part = specs if threads == 1 else [spec for spec in specs if on_two(spec, best)]
        report.by_threads[threads] = measure(
            taking_part,
            reference,
            [w for w in report.workloads if threads == 1 or not w.sweep],
            takes_part(best),
            files,
            cpus[:threads],
            arguments.rounds,
            gauge,
            say,
        )


def on_two(spec: SideSpec, best: str) -> bool:
    """Whether a side runs on two threads: int8, and ours on the best instruction set only."""
    return spec.compute_type == "int8" and (not spec.ours or best in spec.name)


def takes_part(best: str) -> Callable[[SideSpec, Workload], bool]:
    """Return which side runs what: ours, on slower instruction sets, only what the targets need."""

    def answer(spec: SideSpec, workload: Workload) -> bool:
        if not spec.ours or our_name(spec.compute_type, best) in spec.name:
            return True
        if spec.name in VERY_SLOW:
            return workload.name == "queries"
        return not workload.sweep

    return answer


def write(report: Report, out: Path) -> None:
    """Write the files."""
    with atomic_file(out / "report.md") as file:
        file.write(markdown(report).encode())
    with atomic_file(out / "report.json") as file:
        file.write(json.dumps(report.as_json(), indent=1).encode())
    if 1 in report.by_threads:
        from bench.plot import plot

        plot(report, out / "report.png")
    say(f"written: {out / 'report.md'}")


def say(what: str) -> None:
    """Report progress on stderr."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
