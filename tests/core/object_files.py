"""Object files as `nm` and `objdump` show them: symbols, sections, functions, inner loops."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

JUMP = re.compile(r"^(j[a-z]+|b(\.[a-z]+)?|cbn?z|tbn?z)$")
X86_READS_ONLY = ("cmp", "test", "bt", "nop", "prefetch", "vucomis", "vcomis", "ucomis", "comis")


@dataclass(frozen=True)
class Symbol:
    name: str
    kind: str  # the letter that nm has for it: lower case for local ones, U for undefined


@dataclass(frozen=True)
class Instruction:
    address: int
    mnemonic: str
    operands: str

    @property
    def target(self) -> int | None:
        """The address that a jump names, if this is a jump."""
        address = re.search(r"([0-9a-f]+) <", self.operands)
        return int(address[1], 16) if address and JUMP.match(self.mnemonic) else None

    @property
    def stores(self) -> bool:
        """Whether it writes to memory; operands are in AT&T order, the destination last."""
        if "%" not in self.operands:  # aarch64
            return self.mnemonic.startswith("st")
        destination = self.operands.split("#")[0].strip()
        is_memory = destination.endswith(")")
        return is_memory and not self.mnemonic.startswith(X86_READS_ONLY)

    @property
    def reloads(self) -> bool:
        """Whether it reads a vector register from the stack, where it was spilled to."""
        on_stack = "(%rsp" in self.operands or "[sp" in self.operands
        return on_stack and bool(re.search(r"%[xyz]mm|\b[qv]\d", self.operands))

    @property
    def broadcasts(self) -> bool:
        """Whether it broadcasts a value of a row to an x86 register; constants do not count."""
        spreads = self.mnemonic.startswith(("vbroadcast", "vpbroadcast")) or "{1to" in self.operands
        return spreads and "(%" in self.operands and "(%rip)" not in self.operands


@dataclass(frozen=True)
class Loop:
    function: str
    body: list[Instruction]

    def count(self, mnemonic: str) -> int:
        return sum(i.mnemonic.startswith(mnemonic) for i in self.body)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbols(path: Path) -> list[Symbol]:
    lines = run("nm", "-C", str(path)).splitlines()
    found = [re.match(r"[0-9a-f ]* ([A-Za-z]) (.*)", line) for line in lines]
    return [Symbol(match[2], match[1]) for match in found if match]


def section_sizes(path: Path) -> dict[str, int]:
    rows = re.findall(r"^ +\d+ (\S+) +([0-9a-f]+)", run("objdump", "-h", str(path)), re.MULTILINE)
    return {name: int(size, 16) for name, size in rows}


def functions(path: Path) -> Iterator[tuple[str, list[Instruction]]]:
    """Yield every function's mangled name and instructions."""
    listing = run("objdump", "-d", "--no-show-raw-insn", str(path))
    for name, text in re.findall(r"^[0-9a-f]+ <(.*)>:\n((?:.+\n)*)", listing, re.MULTILINE):
        rows = re.findall(r"^ *([0-9a-f]+):\t((?:{\w+} )?\S+)[ \t]*(.*)$", text, re.MULTILINE)
        yield name, [Instruction(int(at, 16), what, operands) for at, what, operands in rows]


def sources(library: Path) -> dict[int, str]:
    """Return the source file of the function at an address, in a library with symbols.

    A linker writes the local symbols of one object file after the name of its source; functions
    that other files call come last, after no name.
    """
    owner, found = "", {}
    for line in run("readelf", "-sW", str(library)).splitlines():
        fields = line.split()
        if len(fields) > 6 and fields[3] == "FILE":
            owner = fields[7] if len(fields) > 7 else ""
        elif len(fields) > 6 and fields[3] == "FUNC":
            found[int(fields[1], 16)] = owner if fields[4] == "LOCAL" else ""
    return found


def inner_loops(path: Path) -> Iterator[Loop]:
    """Yield every innermost loop: instructions that end in a jump to the first of them."""
    for name, instructions in functions(path):
        index = {instruction.address: i for i, instruction in enumerate(instructions)}
        begin_of_last = -1
        for end, instruction in enumerate(instructions):
            target = instruction.target
            if target is None or target > instruction.address or target not in index:
                continue
            begin = index[target]
            if begin > begin_of_last:
                yield Loop(name, instructions[begin : end + 1])
                begin_of_last = begin
