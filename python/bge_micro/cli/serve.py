"""``bge-micro serve``: embeddings over HTTP."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bge_micro.cli.parser import UsageError, add_model_options, positive

if TYPE_CHECKING:
    from bge_micro.server.reranking import ServedReranker

_KEY_VARIABLE = "BGE_MICRO_API_KEY"
_KEY = re.compile("[!-~]+")


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "serve",
        help="serve embeddings over HTTP",
        description="Serve the interfaces of OpenAI (/v1/embeddings), TEI (/embed, /similarity, "
        "/tokenize) and Ollama (/api/embed), with --reranker also /rerank of TEI, Cohere and Jina, "
        "and a page at /. Logs one JSON object a line to standard error. Needs the extra "
        "bge-micro[server].",
    )
    group = parser.add_argument_group("server")
    group.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    group.add_argument(
        "--port", type=_port, default=8080, metavar="N", help="port; 0 takes a free one (8080)"
    )
    group.add_argument(
        "--api-key-file",
        metavar="FILE",
        help=f"file with the API key that clients must send (default: {_KEY_VARIABLE}, else none)",
    )
    group.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name by which clients may call the server, in the Host header; may be given more "
        "than once (default: localhost where only this machine can reach it, else every name)",
    )
    group.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin, such as https://app.example, whose pages may read answers in a browser, or "
        "* for all; may be given more than once (default: none)",
    )
    group.add_argument(
        "--model-name",
        action="append",
        metavar="NAME",
        help="what clients call the model; may be given more than once (default: its own names)",
    )
    group.add_argument(
        "--reranker",
        metavar="MODEL",
        help="a cross-encoder, folder or name on the hub, for /rerank, /v1/rerank and /v2/rerank",
    )
    group.add_argument(
        "--log-level",
        choices=("debug", "info", "warning"),
        default="info",
        help="info has a line for each request, never with its texts (default: info)",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--truncate",
        "--auto-truncate",
        action="store_true",
        help="use texts with too many tokens up to the limit, instead of refusing them",
    )
    limits.add_argument(
        "--max-tokens", type=positive, metavar="N", help="tokens of a text (default: the model's)"
    )
    limits.add_argument(
        "--max-texts", type=positive, default=2048, metavar="N", help="texts of a request (2048)"
    )
    limits.add_argument(
        "--max-body-bytes",
        type=positive,
        default=8 << 20,
        metavar="N",
        help="bytes of a request's body (8388608)",
    )
    limits.add_argument(
        "--max-queue-texts",
        type=positive,
        default=16384,
        metavar="N",
        help="texts that wait for the engine, of all requests together (16384)",
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    api_key = _read_key(arguments.api_key_file)
    try:
        from bge_micro.server.access import Admission, hosts_for
        from bge_micro.server.limits import Limits
        from bge_micro.server.run import Address, run_server
        from bge_micro.server.service import Service
    except ImportError as error:
        raise ImportError(
            f"serve needs {error.name}: pip install 'bge-micro[server]'", name=error.name
        ) from error
    from bge_micro.cli.encoding import load_model

    model = load_model(arguments)
    if arguments.max_tokens is not None:
        model.max_seq_length = arguments.max_tokens
    limits = Limits(
        body_bytes=arguments.max_body_bytes,
        texts=arguments.max_texts,
        queue_texts=arguments.max_queue_texts,
    )
    names = arguments.model_name or _names(arguments.model)
    service = Service(
        model,
        names,
        limits,
        auto_truncate=arguments.truncate,
        reranker=_reranker(arguments, model.threads),
    )
    hosts = hosts_for(arguments.host, arguments.allowed_host)
    admission = Admission(api_key, hosts, arguments.cors_origin)
    run_server(service, Address(arguments.host, arguments.port), admission, arguments.log_level)
    return 0


def _read_key(path: str | None) -> str | None:
    """Return the API key; None for no key at all."""
    if path is None:
        source, key = _KEY_VARIABLE, os.environ.get(_KEY_VARIABLE)
    else:
        source, key = path, Path(path).read_text("utf-8", errors="surrogateescape")
    if key is None:
        return None
    key = key.strip()
    if not key:
        raise UsageError(f"{source}: the API key is empty")
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"{source}: the API key has to be one line of ASCII letters, digits and signs without "
            "spaces, because clients send it in a header; save the file without a byte order mark"
        )
    return key


def _reranker(arguments: argparse.Namespace, threads: int) -> ServedReranker | None:
    if arguments.reranker is None:
        return None
    from bge_micro.cli.encoding import load_reranker
    from bge_micro.server.reranking import ServedReranker

    return ServedReranker(
        load_reranker(arguments, arguments.reranker, threads), _names(arguments.reranker)
    )


def _names(model: str | None) -> list[str]:
    from bge_micro.checkpoint import BUNDLED_NAME, BUNDLED_REPO_ID

    if model in (None, BUNDLED_NAME, BUNDLED_REPO_ID):
        return [BUNDLED_NAME, BUNDLED_REPO_ID]
    return [Path(model).name if Path(model).is_dir() else model]


def _port(text: str) -> int:
    """Parse an argument as a port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, expected 0 to 65535")
    return int(text)
