"""Server: uvicorn around an Engine, which lets its clients go before it closes their connections."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import signal
import socket
import struct
import sys
from contextlib import suppress

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from bertc.serve.app import Shortcut, create_app
from bertc.serve.engine import Engine
from bertc.serve.gate import Gate, make_tracer

logger = logging.getLogger("bertc.serve")

BACKLOG = 2048
KEEP_ALIVE = 75  # seconds: longer than those of the proxies in front
GRACE = 0.5  # seconds for clients that are about to use a connection that has been announced to close
HANDSHAKE = 0.05  # seconds in which a connection that has been begun is made
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # of Linux
SWITCH_INTERVAL = 0.001  # seconds: a batch's thread need not wait longer for the event loop's


class Server(uvicorn.Server):
    """Answers until it is told to stop; then finishes what it accepted.

    When it stops, /health says so and each answer closes its connection; after ``shutdown_delay`` seconds nothing is
    accepted any more; connections on which nothing comes are closed at last.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        super().__init__(
            uvicorn.Config(
                make_stack(engine),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE,
                lifespan="on",
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.engine.draining = True
        logger.info("stopping", extra={"active": self.engine.scheduler.active})
        await self._wait_for_connections(self.engine.settings.shutdown_delay)
        await self._stop_listening(sockets or [])
        await self._wait_for_connections(GRACE)
        await super().shutdown(sockets)
        logger.info("stopped")

    async def _stop_listening(self, listeners: list[socket.socket]) -> None:
        """Takes the connections that the kernel has made or begun: without a listener it would reset them."""
        last = [listener.dup() for listener in listeners]
        for server in self.servers:
            server.close()
        for listener in last:
            _ignore_new(listener)
        for listener in listeners:
            listener.close()
        await asyncio.sleep(HANDSHAKE)
        waiting: list[socket.socket] = []
        for listener in last:
            listener.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    waiting.append(listener.accept()[0])
            with listener, suppress(OSError):  # other workers may go on
                listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        for connection in waiting:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._make_protocol, connection)

    def _make_protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def _wait_for_connections(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.05)):
            if not self.server_state.connections:
                return
            await asyncio.sleep(0.05)


def _ignore_new(listener: socket.socket) -> None:
    """Leaves packets that begin a connection unanswered, where the system can do that: Linux.

    By then nobody listens when a client begins once more, a second later. The filter is of classic BPF, as struct
    sock_filter has it: unless the flags of TCP's header, its byte 13, say SYN, a packet passes.
    """
    program = struct.pack("=" + "HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 0x02, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFFFFFF)
    code = ctypes.create_string_buffer(program, len(program))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 4, ctypes.addressof(code)))


def make_stack(engine: Engine) -> ASGIApp:
    """The application behind what each request passes."""
    settings = engine.settings
    app: ASGIApp = Shortcut(create_app(engine), engine)
    if settings.cors_allow_origin:
        app = CORSMiddleware(app, settings.cors_allow_origin, allow_methods=["*"], allow_headers=["*"])
    return Gate(app, engine, make_tracer(settings.otlp_endpoint) if settings.otlp_endpoint else None)


def listen(hostname: str, port: int) -> socket.socket:
    """A listening socket; OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in hostname else socket.AF_INET
    listener = socket.create_server((hostname, port), family=family, backlog=BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # which asyncio sets on sockets of its own only
    listener.set_inheritable(True)
    return listener


def run(engine: Engine, listener: socket.socket) -> None:
    """Serves until the process gets SIGTERM or SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):  # which uvicorn raises once more when it has obeyed it
        signal.signal(number, signal.SIG_IGN)
    sys.setswitchinterval(SWITCH_INTERVAL)
    Server(engine).run(sockets=[listener])
