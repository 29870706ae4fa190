"""Servers to compare `bge-micro serve` with, on the same HTTP stack; `server_load.py` starts them.

python bench/peer_servers.py noop PORT
python bench/peer_servers.py onnx PORT THREADS model_quantized.onnx
python bench/peer_servers.py onnx-batched PORT THREADS model_quantized.onnx
"""

from __future__ import annotations

import asyncio
import base64
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn
from onnx_encoder import onnx_runtime
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bge_micro import SentenceTransformer
from bge_micro.server.app import build_app
from bge_micro.server.limits import Limits
from bge_micro.server.service import Service
from bge_micro.tokenization import RaggedBatch


def service() -> Service:
    """Return what `bge-micro serve` serves by default."""
    return Service(SentenceTransformer(), ["bge-micro-v2"], Limits())


def noop() -> Any:
    """Return our own application without tokenizer and model: what HTTP, JSON and queue cost."""
    ours = service()
    width = ours.encoder.dimensions

    def batch_of(rows: Any, kind: Any) -> RaggedBatch:
        offsets = np.arange(len(rows) + 1, dtype=np.int64)
        return RaggedBatch(np.empty(0, np.int32), offsets, np.zeros(len(rows), np.bool_))

    def encode(batch: RaggedBatch, form: Any) -> Any:
        return np.zeros((len(batch.truncated), width), np.float32)

    ours.encoder.batch_of = batch_of  # type: ignore[method-assign]
    ours.encoder.encode = encode  # type: ignore[method-assign]
    return build_app(ours)


def onnx(path: Path, threads: int) -> Any:
    """Return a minimal server as people write it: each request is a run, in a pool of threads.

    One run takes one thread, which at many clients serves more requests than runs that share all.
    """
    encode = onnx_runtime(path, threads=1)
    pool = ThreadPoolExecutor(threads)

    def answer(texts: list[str]) -> bytes:
        vectors = encode(texts)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        data = [
            {"object": "embedding", "index": row, "embedding": base64.b64encode(vector).decode()}
            for row, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return orjson.dumps({"object": "list", "data": data, "model": "onnx", "usage": usage})

    async def embeddings(request: Request) -> Response:
        given = orjson.loads(await request.body())["input"]
        texts = [given] if isinstance(given, str) else given
        body = await asyncio.get_running_loop().run_in_executor(pool, answer, texts)
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/v1/embeddings", embeddings, methods=["POST"])])


def onnx_batched(path: Path, threads: int) -> Any:
    """Return our own application and queue around ONNX Runtime, which then sees whole batches."""
    ours = service()
    encode_texts = onnx_runtime(path, threads=threads)

    def batch_of(rows: Any, kind: Any) -> Any:
        offsets = np.arange(len(rows) + 1, dtype=np.int64)
        batch = RaggedBatch(np.empty(0, np.int32), offsets, np.zeros(len(rows), np.bool_))
        texts.append(rows)
        return batch

    def encode(batch: RaggedBatch, form: Any) -> Any:
        vectors = encode_texts(texts.pop())
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    texts: list[list[str]] = []
    ours.encoder.batch_of = batch_of  # type: ignore[method-assign]
    ours.encoder.encode = encode  # type: ignore[method-assign]
    return build_app(ours)


def main() -> None:
    """Serve."""
    kind, port, *rest = sys.argv[1:]
    if kind == "noop":
        app = noop()
    else:
        make = {"onnx": onnx, "onnx-batched": onnx_batched}[kind]
        app = make(Path(rest[1]), int(rest[0]))
    uvicorn.run(app, port=int(port), access_log=False, log_level="warning", ws="none")


if __name__ == "__main__":
    main()
