"""The commands of python -m bertc that take texts: each reads them, runs a model, and writes records."""
