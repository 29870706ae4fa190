"""Check a repaired wheel: its size, its tags, its files, and the libraries that it needs.

    python scripts/check_wheel.py WHEEL ...

Needs the package pyelftools. The libraries of Linux wheels only are checked.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

MEGABYTE = 1_000_000
MOST_BYTES = 20 * MEGABYTE
MODEL = "bge_micro/data/bge-micro-v2/model.safetensors"
NAME = re.compile(r"bge_micro-[^-]+-cp3\d+-cp3\d+t?-([\w.]+)\.whl")
PLATFORM = re.compile(
    r"(manylinux2014|manylinux_2_(17|2[0-8])|musllinux_1_2)_(x86_64|aarch64)"
    r"|macosx_11_0_(arm64|x86_64)|win_(amd64|arm64)"
)
# The system's libraries, and those that auditwheel and delvewheel bundle; no others are allowed.
SYSTEM = re.compile(
    r"ld-(linux|musl).*|lib(c|m|pthread|dl|rt)\.(so\.6|so\.[012]|musl-.*)"
    r"|lib(gcc_s|stdc\+\+)(-[0-9a-f]+)?\.so[.\d]*"
)


def needed_libraries(extension: bytes) -> list[str]:
    """Return the libraries that an ELF file needs; none for other formats."""
    if not extension.startswith(b"\x7fELF"):
        return []
    dynamic = ELFFile(io.BytesIO(extension)).get_section_by_name(".dynamic")
    return [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")]


def problems(wheel: Path) -> list[str]:
    """Return the wheel's faults, and print its facts."""
    found = []
    size = wheel.stat().st_size
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        extensions = [name for name in names if re.match(r"bge_micro/_core\..*(so|pyd)$", name)]
        needed = {
            library for name in extensions for library in needed_libraries(archive.read(name))
        }
    name = NAME.fullmatch(wheel.name)
    if not name or not all(PLATFORM.fullmatch(tag) for tag in name[1].split(".")):
        found.append("its tags are none that we ship")
    if size >= MOST_BYTES:
        found.append(f"{size:,} bytes, {MOST_BYTES:,} or more")
    if MODEL not in names:
        found.append(f"no {MODEL}")
    if len(extensions) != 1:
        found.append(f"extension modules: {extensions}, expected one")
    found += [f"needs {library}" for library in sorted(needed) if not SYSTEM.fullmatch(library)]
    print(
        f"{wheel.name}: {size / MEGABYTE:.2f} MB, needs {', '.join(sorted(needed)) or 'not read'}"
    )
    return found


def main() -> int:
    """Check the wheels named on the command line; return the exit status."""
    status = 0
    for wheel in map(Path, sys.argv[1:]):
        for problem in problems(wheel):
            print(f"{wheel.name}: {problem}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
