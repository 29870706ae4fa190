"""``bge-micro info``: what runs here, why, and whether all is as it was shipped."""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bge_micro import __version__
from bge_micro.cli.compare import add_compare_options, refuse_compare_options, run_compare
from bge_micro.cli.parser import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bge_micro.checkpoint.side_file import SideFile
    from bge_micro.choices import ComputeType
    from bge_micro.cli.checks import Check


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "info",
        aliases=["doctor"],
        help="show what runs and why, and check that it is as shipped",
        description="Show versions, instruction set, threads and the bundled model, and check the "
        "model's files and a few vectors against what was shipped; or show the model FOLDER, and "
        "check its files by the checksums that its bge_micro.json records. Exit code 1 if "
        "something differs. With --compare FILE show how near vectors from elsewhere are to a "
        "model's; the exit code does not depend on it.",
    )
    parser.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="a model folder (default: the bundled model)"
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    add_compare_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    if arguments.compare is not None:
        if arguments.folder is not None:
            raise UsageError(
                "--compare takes the model by --model: give --model FOLDER instead of FOLDER"
            )
        return run_compare(arguments)
    refuse_compare_options(arguments)
    facts = _gather(arguments.folder)
    print(json.dumps(facts, indent=2) if arguments.json else "\n".join(_lines(facts)))
    return 0 if facts["ok"] else 1


def _gather(folder: str | None) -> dict[str, Any]:
    import numpy as np
    import safetensors
    import tokenizers

    from bge_micro import _core
    from bge_micro.runtime import choose_isa, choose_threads

    isa, threads = choose_isa(), choose_threads()
    packages = (np, tokenizers, safetensors)
    facts = {
        "version": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {package.__name__: package.__version__ for package in packages},
        "platform": platform.platform(),
        "isa": {
            "name": isa.value,
            "reason": isa.reason,
            "built": [
                {"name": name, "supported": supported}
                for name, supported in _core.instruction_sets()
            ],
        },
        "threads": {
            "count": int(threads.value),
            "reason": threads.reason,
            "backend": _core.parallel_backend,
        },
        "numerics_version": _core.numerics_version,
    }
    model = _examine_bundle() if folder is None else _examine_folder(Path(folder))
    return facts | model


def _examine_bundle() -> dict[str, Any]:
    from bge_micro import SentenceTransformer
    from bge_micro.checkpoint import BUNDLED_NAME, CheckpointError, bundled_folder
    from bge_micro.checkpoint.side_file import SIDE_FILE_NAME, read_side_file
    from bge_micro.cli.checks import (
        REINSTALL,
        Check,
        check_recorded,
        check_vectors,
        read_golden,
    )

    folder = bundled_folder()
    side_file = read_side_file(folder)
    if side_file is None:
        raise CheckpointError(f"{folder / SIDE_FILE_NAME}: missing; install bge-micro again.")
    golden = read_golden()
    checks = check_recorded(folder, side_file, REINSTALL)
    space_ids = {}
    for compute_type in golden.sha256:
        try:
            model = SentenceTransformer(compute_type=compute_type)
        except (OSError, ValueError) as error:
            checks.append(Check(f"{compute_type} vectors", False, f"no model: {error}"))
        else:
            space_ids[compute_type] = model.space_id
            checks.append(check_vectors(model, golden))
    return _facts(BUNDLED_NAME, folder, side_file, space_ids, checks)


def _examine_folder(folder: Path) -> dict[str, Any]:
    """Check a folder's files by what it records, if it does, and that it can be loaded."""
    from bge_micro import SentenceTransformer
    from bge_micro.checkpoint.side_file import read_side_file
    from bge_micro.cli.checks import Check, check_recorded

    advice = "the file was damaged or exchanged: make or fetch the folder again"
    side_file = read_side_file(folder)
    checks = [] if side_file is None else check_recorded(folder, side_file, advice)
    space_ids = {}
    try:
        model = SentenceTransformer(folder)
    except (OSError, ValueError) as error:
        checks.append(Check("loading", False, str(error)))
    else:
        space_ids[model.compute_type] = model.space_id
        recorded = "" if side_file else "; made by others, so no checksums are recorded"
        checks.append(Check("loading", True, f"{model.compute_type}{recorded}"))
    return _facts(folder.name, folder, side_file, space_ids, checks)


def _facts(
    name: str,
    folder: Path,
    side_file: SideFile | None,
    space_ids: Mapping[ComputeType, str],
    checks: list[Check],
) -> dict[str, Any]:
    return {
        "model": {
            "name": name,
            "folder": str(folder),
            "weights": None if side_file is None else _origin(side_file.source),
            "source": {} if side_file is None else side_file.source,
            "license": None if side_file is None else side_file.license,
            "space_ids": space_ids,
        },
        "checks": [asdict(check) for check in checks],
        "ok": all(check.ok for check in checks),
    }


def _origin(source: dict[str, str]) -> str | None:
    """Say in a line what restored weights were made from; None for other weights."""
    from bge_micro.checkpoint.bundled import BUNDLED_REPO_ID

    if "offsets_sha256" not in source:
        return None
    which = "the official" if source.get("repo_id") == BUNDLED_REPO_ID else "an 8-bit"
    export, offsets = source.get("sha256", "not known"), source["offsets_sha256"]
    return f"restored from {which} export (sha256 {export}), offsets (sha256 {offsets})"


def _lines(facts: dict[str, Any]) -> list[str]:
    """Return the facts as lines for people."""
    isa, threads, model = facts["isa"], facts["threads"], facts["model"]
    built = (f"{i['name']}{'' if i['supported'] else ' (not on this CPU)'}" for i in isa["built"])
    fields = {
        "bge-micro": facts["version"],
        "python": facts["python"],
        **facts["packages"],
        "platform": facts["platform"],
        "isa": f"{isa['name']}: {isa['reason']}",
        "isas built": ", ".join(built),
        "threads": f"{threads['count']}: {threads['reason']}",
        "thread backend": threads["backend"],
        "numerics": f"version {facts['numerics_version']}",
        "model": f"{model['name']}, {model['folder']}",
        **({"weights": model["weights"]} if model["weights"] else {}),
        "license": model["license"] or "not known",
        **{f"source {name}": value for name, value in model["source"].items()},
        **{f"space of {name}": value for name, value in model["space_ids"].items()},
    }
    lines = [f"{name:20}{value}" for name, value in fields.items()]
    for check in facts["checks"]:
        lines.append(f"{check['name']:20}{'ok' if check['ok'] else 'FAILED'}: {check['detail']}")
    return lines
