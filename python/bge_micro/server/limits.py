"""What a request, and all of them together, may ask for."""

from __future__ import annotations

from dataclasses import dataclass

# Bodies being read or worked on, all together, in bodies of the largest size.
_BODIES_HELD = 16


@dataclass(frozen=True)
class Limits:
    """The limits of a server. Tokens of a text are limited by the model's max_seq_length.

    Attributes:
        body_bytes: Bytes of a request's body.
        texts: Texts of a request.
        queue_texts: Texts that wait for the engine, of all requests together.
        body_seconds: How long a client may take to send a body.
        head_bytes: Bytes of a request's line and headers.
        headers: Headers of a request.
        head_seconds: How long a client may take to send them.
        answer_seconds: How long a client may take to read an answer.
        left_seconds: How long after a client's end of sending it is asked whether it is there.
        linger_seconds: How long what a client sends after a refusal is read, so that it gets that.
        stuck_seconds: How long a call of the core, or of the tokenizer, may take.
        farewell_seconds: How long a shutdown waits for a body's rest, or an answer's reader.
        connections: Open connections.
        small_head_bytes: Bytes of a head that each client may have, whatever the others do.
        held_head_bytes: Bytes of unanswered requests' heads beyond that, all together.
        small_body_bytes: Bytes of a body that each client may have, whatever the others do.
        held_answer_bytes: Bytes of answers that wait for their readers, all together.
    """

    # Parsing JSON holds the interpreter for some 2 ms a megabyte, so this also says for how long
    # one request can keep the others from being answered. 2048 texts, which are OpenAI's limit,
    # fit with 4 kB, or 512 tokens of 8 letters, each.
    body_bytes: int = 8 << 20
    texts: int = 2048
    queue_texts: int = 16384
    body_seconds: float = 30.0
    head_bytes: int = 64 << 10
    headers: int = 128  # as bytes objects they take many times what they take on the wire
    head_seconds: float = 30.0
    answer_seconds: float = 60.0
    left_seconds: float = 0.5
    linger_seconds: float = 2.0
    stuck_seconds: float = 60.0  # on the slowest CPU it is one or two
    farewell_seconds: float = 10.0
    connections: int = 960  # each takes a descriptor, of which many systems give a process 1024

    small_head_bytes: int = 8 << 10
    held_head_bytes: int = 8 << 20
    small_body_bytes: int = 64 << 10
    held_answer_bytes: int = 64 << 20

    @property
    def held_bytes(self) -> int:
        """Bytes of all bodies that are being read or worked on."""
        return self.body_bytes * _BODIES_HELD
