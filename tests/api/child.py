"""Programs that need their own process: new imports, signals, forks, limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from patience import PATIENCE


def run_child(
    program: str, *, environ: Mapping[str, str] | None = None, timeout: float = 2 * PATIENCE
) -> Any:
    """Run a Python program in a new process and return the last line it printed, read as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])
