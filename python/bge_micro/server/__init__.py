"""`bge-micro serve`: embeddings over HTTP, with OpenAI's and TEI's interfaces and a page.

app        routes; every request's way through key, body, handler and errors
openai_api, tei_api, site   the handlers
engine_thread   the one thread that encodes, all that has arrived together
tokens     token ids that clients send, and tokens that they are shown
fields, body, errors   what a request may hold, and what is said when it does not
access     who may ask; log lines and metrics about each request, never about its texts
run, connection   the process: socket, signals, uvicorn; limits to what a client can hold

Needs the extra ``bge-micro[server]``.
"""
