"""The package inside other frameworks, one small module for each.

The package imports none of them by itself, and each module imports only its own framework:
``from bge_micro.integrations.langchain import BgeMicroEmbeddings``.

All of them use `held.HeldModel`: a model that is made from a few plain settings at its first use.
Frameworks save, compare, pickle and send these settings.

Vectors have unit length unless ``normalize_embeddings=False`` (`encode` itself does not normalise
by default): vector stores use dot products or Euclidean distances by default, and these then rank
as the cosine does.
"""
