"""``bge-micro index -i FOLDER``: the index of a folder of notes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bge_micro.cli.encoding import load_model, prompt_of
from bge_micro.cli.messages import warn
from bge_micro.cli.own_input import refuse_own_input
from bge_micro.cli.parser import UsageError

if TYPE_CHECKING:
    from bge_micro.search.notes import NotesReport

_FOR_FILES = {
    *("--batch-size", "--errors", "--field", "--input-format", "--truncation"),
    *("--ids", "--metadata"),
}

# Files named one by one that could not be read.
_NAMED = 10


def index_notes(arguments: argparse.Namespace) -> int:
    """Make or update the index of the folder that -i names; say on stderr what was done."""
    from bge_micro.progress import can_show, progress_bar
    from bge_micro.search.notes import NotesReport, update_notes

    if arguments.add or arguments.resume:
        raise UsageError(
            f"{arguments.input} is a folder of notes: the same command again brings its index up "
            "to date, also after an interruption, without --add and --resume"
        )
    if for_files := _FOR_FILES & arguments.given:
        raise UsageError(
            f"{arguments.input} is a folder of notes, and {min(for_files)} is for files"
        )
    refuse_own_input(arguments, arguments.output)
    model = load_model(arguments)
    report = NotesReport()
    try:
        with progress_bar(sys.stderr.isatty() and can_show(), 0) as advance:
            update_notes(
                arguments.input,
                arguments.output,
                model,
                precision=arguments.precision,
                truncate_dim=arguments.truncate_dim,
                overlap=arguments.overlap or 0,
                follow_links=arguments.follow_links,
                prompt=prompt_of(
                    model, arguments.prompt, arguments.prompt_name, model.document_prompt
                ),
                report=report,
                advance=advance,
            )
    except BaseException:
        if report.writer and report.writer.kept:
            _say(
                f"{report.writer.kept} passages are done and kept; the same command goes on from "
                "there."
            )
        raise
    _tell(Path(arguments.input), report)
    return 0


def _tell(root: Path, report: NotesReport) -> None:
    for name, why in report.skipped[:_NAMED]:
        warn(f"{root / name}: {why}; it was left out.")
    more = len(report.skipped) - _NAMED
    if more > 0:
        warn(f"{more} more files were left out.")
    skipped = f", {len(report.skipped)} left out" if report.skipped else ""
    _say(
        f"{root}: {report.added} notes new, {report.changed} changed, {report.removed} removed, "
        f"{report.unchanged} unchanged{skipped}; {report.embedded} of {report.passages} passages "
        "encoded."
    )


def _say(message: str) -> None:
    print(f"bge-micro: {message.encode(errors='replace').decode()}", file=sys.stderr)
