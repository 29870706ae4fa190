"""Servers to compare `bge-micro serve` with, on the same HTTP stack; `server_load` starts them.

python -m bench.peer_servers noop PORT
python -m bench.peer_servers onnx PORT THREADS model_quantized.onnx FOLDER
python -m bench.peer_servers onnx-batched PORT THREADS model_quantized.onnx FOLDER
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.files import ModelFiles
from bench.sides.base import Side, Vectors
from bench.sides.onnx_runtime import load
from bge_micro import Encoded, Plan, SentenceTransformer
from bge_micro.server.app import build_app
from bge_micro.server.limits import Limits
from bge_micro.server.logs import start_logging
from bge_micro.server.service import Service
from bge_micro.tokenization import RaggedBatch

# ONNX Runtime's best batch size for texts of these lengths.
BATCH = 32


def service() -> Service:
    """Return what `bge-micro serve` serves by default."""
    return Service(SentenceTransformer(), ["bge-micro-v2"], Limits())


def noop() -> Any:
    """Return our application without tokenizer and model: it measures HTTP, JSON and the queue."""
    ours = service()
    width = ours.dimensions

    def run(rows: Sequence[str], plan: Plan) -> Encoded:
        return encoded(np.full((len(rows), width), 0.05, np.float32))

    ours.transformer.run = run  # type: ignore[method-assign, assignment]
    return build_app(ours)


def unit_vectors(side: Side, texts: Sequence[str]) -> Vectors:
    """Return vectors of unit length."""
    vectors = side.encode(texts, BATCH)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def onnx(files: ModelFiles, threads: int) -> Any:
    """Return a minimal server as people write it: one run per request, in a pool of threads.

    Each run has one thread: with many clients that is faster than runs that share all threads.
    """
    side = load(files, 1, "int8")
    pool = ThreadPoolExecutor(threads)

    def answer(texts: list[str], as_base64: bool) -> bytes:
        data = [
            {
                "object": "embedding",
                "index": row,
                "embedding": base64.b64encode(vector).decode() if as_base64 else vector,
            }
            for row, vector in enumerate(unit_vectors(side, texts))
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        body = {"object": "list", "data": data, "model": "onnx", "usage": usage}
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)

    async def embeddings(request: Request) -> Response:
        fields = orjson.loads(await request.body())
        texts = [fields["input"]] if isinstance(fields["input"], str) else fields["input"]
        as_base64 = fields["encoding_format"] == "base64"
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(pool, answer, texts, as_base64)
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/v1/embeddings", embeddings, methods=["POST"])])


def onnx_batched(files: ModelFiles, threads: int) -> Any:
    """Return our application and queue around ONNX Runtime, which then gets whole batches."""
    ours = service()
    side = load(files, threads, "int8")

    def run(rows: Sequence[str], plan: Plan) -> Encoded:
        return encoded(unit_vectors(side, rows))

    ours.transformer.run = run  # type: ignore[method-assign, assignment]
    return build_app(ours)


def encoded(vectors: Vectors) -> Encoded:
    """Return a result for the same number of texts, without tokens."""
    result = Encoded(vectors)
    offsets = np.zeros(len(vectors) + 1, np.int64)
    result.add(RaggedBatch(np.empty(0, np.int32), offsets, np.zeros(len(vectors), np.bool_)), None)
    return result


def main() -> None:
    """Serve."""
    kind, port, *rest = sys.argv[1:]
    if kind == "noop":
        app = noop()
    else:
        make = {"onnx": onnx, "onnx-batched": onnx_batched}[kind]
        app = make(ModelFiles(Path(rest[1]), Path(rest[2])), int(rest[0]))
    start_logging("info")
    uvicorn.run(app, port=int(port), access_log=False, log_config=None, ws="none")


if __name__ == "__main__":
    main()
