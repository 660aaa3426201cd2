"""python -m bertc serve: an HTTP server of models."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import socket
import tempfile

import bertc
from bertc._core import InputError
from bertc.serve.settings import Settings, add_arguments, read_settings

logger = logging.getLogger("bertc.serve")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bertc serve", description=__doc__)
    add_arguments(parser)
    settings = read_settings(vars(parser.parse_args(arguments)))
    if not settings.model_id:
        parser.error("a MODEL is needed, or MODEL_ID in the environment, or model_id in the file of --config")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the library's own threads are not of our thread budget
    folder = None
    if settings.workers > 1:  # before prometheus_client is imported
        folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="bertc-metrics-")
    try:
        return serve(settings)
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def serve(settings: Settings) -> int:
    """Loads the models and serves them until SIGTERM or SIGINT; the exit status."""
    from prometheus_client import multiprocess

    from bertc.serve import logs, server, workers
    from bertc.serve.engine import Engine
    from bertc.serve.served import Served

    logs.set_up(settings.log_level, settings.json_output)
    threads = settings.threads or bertc.get_num_threads()
    bertc.set_num_threads(max(1, threads // settings.workers))
    models = [Served.load(source, settings) for source in settings.model_id]
    if len({served.name for served in models}) < len(models):
        raise InputError("two models have the same name: give them others, NAME=MODEL")
    if settings.workers == 1:
        server.run(Engine(models, settings), _listen(settings))
        return 0
    for served in models:  # its packed weights are to be there before the processes part
        served.warm_up()
    listener = _listen(settings)

    def work() -> None:
        server.run(Engine(models, settings), listener)

    forget = multiprocess.mark_process_dead  # its part of the gauges
    return workers.supervise(settings.workers, work, forget, listener.close)


def _listen(settings: Settings) -> socket.socket:
    from bertc.serve.server import listen

    listener = listen(settings.hostname, settings.port)
    host, port = listener.getsockname()[:2]
    logger.info("listening", extra={"host": host, "port": port})
    return listener
