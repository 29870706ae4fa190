"""What a converted folder says of its origin: source, license, README."""

from __future__ import annotations

from bge_micro.checkpoint.folder import Checkpoint
from bge_micro.convert.folder_writer import License

_LICENSE_NAME = "LICENSE"


def source_of(checkpoint: Checkpoint, repo_id: str | None, revision: str | None) -> dict[str, str]:
    """Return what is known of the weights' origin: what the caller says, else the folder."""
    source = {
        "file": ", ".join(file.path.name for file in checkpoint.weight_files),
        "sha256": checkpoint.weights_sha256(),
    }
    if repo_id is None and checkpoint.side_file is not None:
        return checkpoint.side_file.source
    if repo_id is not None:
        source["repo_id"] = repo_id
    if revision is not None:
        source["revision"] = revision
    return source


def license_of(checkpoint: Checkpoint) -> License | None:
    """Return the license in a folder, if there is one."""
    path = checkpoint.folder / _LICENSE_NAME
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    known = checkpoint.side_file.license if checkpoint.side_file is not None else None
    return License(summary=known or text.strip().partition("\n")[0], text=text)


def readme(source: dict[str, str], license: License | None) -> str:
    """Return the README of a converted folder."""
    facts = "".join(f"- {name}: {value}\n" for name, value in source.items())
    terms = "not known" if license is None else license.summary
    return f"""\
# A sentence encoder in bge-micro's format

Converted by `bge-micro convert` from:

{facts}
License of the weights: {terms}.

`model.safetensors` holds int8 matrices with one scale per output channel (or float matrices) under
the usual BERT names; `bge_micro.json` holds checksums. Load the folder with
`bge_micro.SentenceTransformer(path)`.
"""
