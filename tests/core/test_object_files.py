"""The object files of the instruction sets: no symbols that a linker could mix up, tight loops.

The tests read the object files in build/, where `pip install .` leaves them. If there are none, as
in the test of a wheel, the tests are skipped.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from bge_micro import _core
from core.object_files import (
    Instruction,
    functions,
    inner_loops,
    section_sizes,
    sources,
    symbols,
)

REPOSITORY = Path(__file__).resolve().parents[2]
ISAS = [name for name, _ in _core.instruction_sets()]
MUTABLE_OR_RUN_AT_LOAD = (".data", ".bss", ".tdata", ".tbss", ".init_array", ".ctors", ".preinit")
READ_ONLY = ".data.rel.ro"  # written by the dynamic linker only: the tables' pointers
PLAIN_C = {"memcpy", "memmove", "memset", "memcmp", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}

# Multiply-adds in the innermost loop of the largest tile, as isa/lanes_*.h describe the tiles.
TILES = {
    "amx_int8": {"vpdpbusd": 16, "vfmadd": 12},
    "avx512vnni": {"vpdpbusd": 16, "vfmadd": 12},
    "avx512vl_vnni": {"vpdpbusd": 12, "vfmadd": 12},
    "avxvnni": {"{vex} vpdpbusd": 12, "vfmadd": 12},
    "avx2": {"vpmaddubsw": 16, "vpmaddwd": 12, "vfmadd": 12},
    "neon": {"sadalp": 16, "fmla": 24},
    "neon_dotprod": {"sdot": 24, "fmla": 24},
    "neon_i8mm": {"smmla": 24, "fmla": 24},
}
# Rows and panels of the largest AVX-512 tile, as isa/lanes_avx512.h has them. There is a tile for
# every number of rows up to this, for all panels together and for the last panel alone.
AVX512_TILES = {"vpdpbusd": (8, 2), "vfmadd": (6, 2)}
# Instructions beyond the baseline, each with a pattern for "mnemonic operands", and which object
# files may hold them. An object file must contain the first of its list.
SSE41 = (
    r"pmaddubsw|pmov[sz]x|p?blendv?|pmulld|packusdw|phadd|haddp|pshufb|round[ps]|palignr|ptest"
    r"|movddup|lddqu|pabs|psign|p(insr|extr)[bdq]|pm(in|ax)(sb|uw|sd|ud)|pcmpeqq|dpp[sd]|crc32"
)
X86 = {
    "SSE3 to SSE4": re.compile(SSE41),
    "AVX": re.compile(r"({\w+} )?v(?!er[rw])[a-z]|.*%ymm"),
    "AVX-VNNI": re.compile(r"{vex} vpdp"),
    "AMX": re.compile(r"(ld|st)tilecfg|tile(load|store|zero|release)|tdp"),
    "AVX-512": re.compile(r"vpdp|.*(%zmm|%k[0-7]|%[xy]mm(1[6-9]|2\d|3[01]))"),
}
ARM64 = {
    "dot product": re.compile(r"[su]dot\b"),
    "matrix product": re.compile(r"(us|su)dot\b|us?mmla\b|smmla\b"),
}
ALLOWED: dict[str, list[str]] = {
    "sse41": ["SSE3 to SSE4"],
    "avx2": ["AVX"],
    "avxvnni": ["AVX-VNNI", "AVX"],
    "avx512vl_vnni": ["AVX-512", "AVX"],
    "avx512vnni": ["AVX-512", "AVX"],
    "amx_int8": ["AMX", "AVX-512", "AVX"],
    "amx_int8_model": ["AVX"],
    "neon_dotprod": ["dot product"],
    "neon_i8mm": ["matrix product", "dot product"],
}


def newest(files: list[Path]) -> float:
    return max(file.stat().st_mtime for file in files)


@pytest.fixture(scope="module")
def build() -> Path:
    """Return the folder of the object files, or skip."""
    if not sys.platform.startswith("linux") or not shutil.which("objdump"):
        pytest.skip("reading object files needs Linux and binutils")
    folders = (REPOSITORY / "build").glob(f"*{platform.machine()}/CMakeFiles")
    built = [folder for folder in folders if len([*folder.glob("isa_*.dir")]) == len(ISAS)]
    if not built:
        pytest.skip("no object files: `pip install .` in a checkout leaves them in build/")
    folder = max(built, key=lambda folder: newest([*folder.glob("isa_*.dir/cpp/isa/*.o")]))
    cpp = REPOSITORY / "cpp"
    sources = [
        header for part in ("isa", "kernels", "memory") for header in cpp.glob(f"{part}/*.h")
    ]
    if newest(sources) > newest([*folder.glob("isa_*.dir/cpp/isa/*.o")]):
        pytest.skip("the object files in build/ are older than their sources: install again")
    return folder


@pytest.fixture(params=ISAS)
def isa_object(request: pytest.FixtureRequest, build: Path) -> Path:
    """Return the object file of each instruction set in turn."""
    name = request.param
    return build / f"isa_{name}.dir/cpp/isa/{name}.cpp.o"


def test_the_table_is_the_only_symbol_defined(isa_object: Path) -> None:
    """The linker could exchange any other symbol for the same symbol of another object file."""
    visible = [symbol for symbol in symbols(isa_object) if symbol.kind not in "abdrtNnU"]
    assert len(visible) == 1, visible
    assert re.fullmatch(r"bge::k\w+Kernels", visible[0].name), visible
    assert visible[0].kind in "DR"  # data with a strong definition


def test_nothing_but_plain_c_is_needed(isa_object: Path) -> None:
    needed = {symbol.name for symbol in symbols(isa_object) if symbol.kind == "U"}
    assert needed <= PLAIN_C


def test_nothing_runs_at_load_and_nothing_is_mutable(isa_object: Path) -> None:
    sizes = section_sizes(isa_object)
    assert sizes[".text"] > 0
    used = [name for name, size in sizes.items() if size and not name.startswith(READ_ONLY)]
    assert not [name for name in used if name.startswith(MUTABLE_OR_RUN_AT_LOAD)]
    assert not [name for name in used if name.startswith((".text.startup", ".gnu.lto"))]
    assert not [symbol for symbol in symbols(isa_object) if "_GLOBAL__sub_I" in symbol.name]


def test_instructions_stay_in_the_files_of_their_cpus(build: Path) -> None:
    """No path to a function of another object file may meet an instruction the CPU lacks."""
    objects = [*build.glob("**/*.o")]
    assert len(objects) > len(ISAS)
    for path in objects:
        name = path.name.split(".")[0]
        found = {feature for _, code in functions(path) for feature in features_of(code)}
        assert found <= set(ALLOWED.get(name, [])), path.name
        assert found >= set(ALLOWED.get(name, [])[:1]), path.name


def test_instructions_stay_in_their_functions_of_the_extension(build: Path) -> None:
    """The linker has neither added nor merged code."""
    (extension,) = build.parent.glob("_core*.so")
    owners = sources(extension)
    seen = set()
    for name, code in functions(extension):
        owner = owners.get(code[0].address, "").removesuffix(".cpp") if code else ""
        assert features_of(code) <= set(ALLOWED.get(owner, [])), f"{name} of {owner or '?'}"
        seen.add(owner)
    assert seen >= set(ISAS)


def features_of(code: list[Instruction]) -> set[str]:
    """Return which instructions beyond the baseline a function has."""
    patterns = X86 if "avx2" in ISAS else ARM64
    lines = {f"{i.mnemonic} {i.operands.split('<')[0]}" for i in code}
    return {
        feature
        for feature, pattern in patterns.items()
        if any(pattern.match(line) for line in lines)
    }


@pytest.mark.parametrize("isa", [name for name in ISAS if name in TILES])
def test_tiles_live_in_registers(build: Path, isa: str) -> None:
    """The innermost loops of linears use memory only to read rows and weights."""
    loops = [
        loop
        for loop in inner_loops(build / f"isa_{isa}.dir/cpp/isa/{isa}.cpp.o")
        if "linear_" in loop.function or "Tile" in loop.function
    ]
    for multiply_add, count in TILES[isa].items():
        # A compiler may also unroll the loop over the inner dimension.
        tiles = [loop for loop in loops if loop.count(multiply_add) in (count, 2 * count)]
        tiles = [loop for loop in tiles if len(loop.body) < 5 * loop.count(multiply_add)]
        assert tiles, f"no loop of {count} {multiply_add}"
        for loop in tiles:
            assert not [i for i in loop.body if i.stores], loop.function
            assert not [i for i in loop.body if i.reloads], loop.function


@pytest.mark.skipif("avx512vnni" not in ISAS, reason="another architecture")
@pytest.mark.parametrize("multiply_add", AVX512_TILES)
def test_every_avx512_tile_is_its_multiply_adds(build: Path, multiply_add: str) -> None:
    """Rows x panels multiply-adds and no store: accumulators in memory would halve the speed."""
    rows, panels = AVX512_TILES[multiply_add]
    expected = Counter(r * p for r in range(1, rows + 1) for p in {1, panels})
    tiles = [
        loop
        for loop in inner_loops(build / "isa_avx512vnni.dir/cpp/isa/avx512vnni.cpp.o")
        # The epilogue of an int8 linear also has float multiply-adds, but is not a tile.
        if ("float32" if multiply_add == "vfmadd" else "Dot") in loop.function
        if loop.count(multiply_add) and any(i.broadcasts for i in loop.body)
    ]
    tiles = [loop for loop in tiles if loop.count(multiply_add) in expected]
    found = Counter(loop.count(multiply_add) for loop in tiles)
    assert all(found[count] >= expected[count] for count in expected), (found, expected)
    for loop in tiles:
        assert not [i for i in loop.body if i.stores or i.reloads], loop.function


@pytest.mark.skipif("amx_int8" not in ISAS, reason="another architecture")
@pytest.mark.parametrize(
    ("kernel", "product", "loads_of_four"),
    [("linear_int8", "tdpbusd", {4, 5}), ("dot_products", "tdpbsud", {5})],
    ids=["linear", "keys"],
)
def test_amx_blocks_are_their_loads_and_products(
    build: Path, kernel: str, product: str, loads_of_four: set[int]
) -> None:
    """Four products to four loads, or five in a last tile of rows; no other access to memory.

    Queries come in groups of 16, so their products with keys have single tiles of rows only.
    """
    loops = [
        loop
        for loop in inner_loops(build / "isa_amx_int8.dir/cpp/isa/amx_int8.cpp.o")
        if kernel in loop.function and loop.count("tdp")
    ]
    assert {loop.count("tileload") for loop in loops if loop.count(product) == 4} == loads_of_four
    for loop in loops:
        products = loop.count(product)
        assert products == loop.count("tdp")
        assert loop.count("tileload") <= products + 1
        others = [i for i in loop.body if "%tmm" not in i.operands]
        spills = [i for i in others if re.search(r"%[xyz]mm|\(", i.operands)]
        assert products < 4 or all(i.mnemonic == "lea" for i in spills), loop.function


@pytest.mark.skipif("amx_int8" not in ISAS, reason="another architecture")
def test_amx_registers_are_released(build: Path) -> None:
    """Each function that configures the tile unit releases it, on every way to its return."""
    configured = 0
    for name, code in functions(build / "isa_amx_int8.dir/cpp/isa/amx_int8.cpp.o"):
        inside = False
        for instruction in code:
            if instruction.mnemonic == "ldtilecfg":
                assert not inside, name
                inside = True
                configured += 1
            elif instruction.mnemonic == "tilerelease":
                inside = False
            elif instruction.mnemonic.startswith("ret"):
                assert not inside, name
    assert configured >= 3  # linears, keys, values
