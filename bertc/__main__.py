"""python -m bertc: what a model file holds, its weights as safetensors, what models say of texts, and a server."""

from __future__ import annotations

import argparse
import os
import sys

import bertc
from bertc.cli import convert, show, texts


def serve(arguments: list[str]) -> int:
    from bertc.serve import needs_extra

    with needs_extra():
        from bertc.serve.cli import main

        return main(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the status to exit with."""
    parser = argparse.ArgumentParser(prog="python -m bertc", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (show, convert, texts):
        command.add_command(commands)
    commands.add_parser("serve", help="an HTTP server of models, see serve --help")
    arguments = sys.argv[1:] if arguments is None else arguments
    serves = arguments[:1] == ["serve"]  # the parser of its options needs what the server needs
    options, more = parser.parse_known_args(arguments[:1] if serves else arguments)
    if more and (not hasattr(options, "texts") or any(text.startswith("-") for text in more)):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:  # argparse takes no texts behind an option that is behind the model
        options.texts += more
    try:
        if serves:
            return serve(arguments[1:])
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (bertc.Error, ImportError, OSError, ValueError, MemoryError) as error:
        print(f"error: {error or type(error).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as shells have it
    return 0


if __name__ == "__main__":
    sys.exit(main())
