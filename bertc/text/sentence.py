"""SentenceEncoder: texts to vectors, as sentence-transformers makes them."""

from bertc.text.tokenizer import Tokenizer  # noqa
