"""The sides that take part. A new side is one entry here and one small module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from bench.files import ModelFiles
from bench.sides.base import Side


@dataclass(frozen=True)
class SideSpec:
    """A side before it is loaded.

    Attributes:
        name: Its name in the tables.
        module: The module of this package whose `load` makes the side.
        compute_type: "int8" or "float32".
        options: Further arguments of `load`.
        environ: Environment variables of its process.
        python: The interpreter of its process; None for this one.
    """

    name: str
    module: str
    compute_type: str
    options: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    python: str | None = None

    @property
    def ours(self) -> bool:
        """Whether it is this package, in any build."""
        return self.module == "ours"

    def load(self, files: ModelFiles, threads: int) -> Side:
        """Load it in this process, after making the files that are missing."""
        module = import_module(f"bench.sides.{self.module}")
        side: Side = module.load(files, threads, self.compute_type, **self.options)
        return side


PEERS = (
    SideSpec("ONNX Runtime int8", "onnx_runtime", "int8"),
    SideSpec("ONNX Runtime float32", "onnx_runtime", "float32"),
    SideSpec("OpenVINO int8", "openvino_runtime", "int8", {"precision": "f32"}),
    SideSpec("OpenVINO int8 bf16", "openvino_runtime", "int8", {"precision": "bf16"}),
    SideSpec("OpenVINO float32", "openvino_runtime", "float32", {"precision": "f32"}),
    SideSpec("CTranslate2 int8", "ctranslate", "int8"),
    SideSpec("CTranslate2 float32", "ctranslate", "float32"),
    SideSpec("sentence-transformers", "sentence_transformers_torch", "float32"),
)


def our_name(compute_type: str, isa: str) -> str:
    """Return the name of this package's side."""
    return f"bge-micro {compute_type} {isa}"


def our_sides(isas: Sequence[str]) -> list[SideSpec]:
    """Return this package's sides for some instruction sets."""
    return [
        SideSpec(our_name(compute, isa), "ours", compute, environ={"BGE_MICRO_ISA": isa})
        for isa in isas
        for compute in ("int8", "float32")
    ]


def other_build(side: SideSpec, python: str) -> SideSpec:
    """Return a side of this package as another interpreter has it installed."""
    return replace(side, name=f"{side.name}, other build", python=python)
