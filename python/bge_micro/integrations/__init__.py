"""The package inside other people's frameworks, one small module for each.

Nothing here is imported unless asked for, and each module imports its own framework only:
``from bge_micro.integrations.langchain import BgeMicroEmbeddings``.

What all of them share is `held.HeldModel`: a model that is made from a few plain settings when it
is first used. The settings are what a framework saves, compares, pickles and sends elsewhere.

Vectors are of unit length unless ``normalize_embeddings=False`` says otherwise (`encode` itself
leaves them as they are): vector stores use dot products or Euclidean distances by default, and
these then rank as the cosine does.
"""
