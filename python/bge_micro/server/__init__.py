"""`bge-micro serve`: embeddings over HTTP, as OpenAI, TEI and Ollama offer them, and a page.

app        routes; every request's way through key, body, handler and errors
openai_api, tei_api, ollama_api, rerank_api, site   the handlers
models, reranking   the models as the engine sees them, and as clients do
engine     what encodes: small requests beside large ones, and the queue's limit
engine_thread   a thread that encodes, all that has arrived together; jobs has its requests
worker_thread   a thread for other calls of native code; native_thread is the base of both
tokens     token ids that clients send, and tokens that they are shown
fields, foreign_fields, body, errors   what a request may hold, and what is said when it does not
description   the OpenAPI description: openapi.json with the errors of errors.py
access     who may ask; log lines and metrics about each request, never about its texts
run, connection   the process: socket, signals, uvicorn; limits to what a client can hold

Needs the extra ``bge-micro[server]``.
"""
