"""A server from its settings: what must be true before it starts, what it says, and how it runs."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from echoclip_r.data.shards import read_index
from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.evaluation.labels import finding_rules
from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.model.description import tasks_of
from echoclip_r.serve.access import Access, is_loopback
from echoclip_r.serve.app import make_app
from echoclip_r.serve.audit import Audit
from echoclip_r.serve.marks import Marks
from echoclip_r.serve.models import LazyModel
from echoclip_r.serve.service import ModelSource, Service
from echoclip_r.storage import writing
from echotok.findings.rule_files import read_findings_rules

__all__ = ["ServeConfig", "make_server", "make_service", "serve"]

_MOST_AT_A_TIME = 256
_HEADER_SECONDS = 20.0
_EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """Settings of a server.

    Attributes:
        checkpoints: one model, or two that are compared.
        shards: the archive.
        embeddings: folder of what is kept: embeddings, marks, the audit; None for `search` beside
            the shards.
        findings: a table of `echotok findings`, or None.
        host, port: address to listen at; port 0 takes one that is free.
        allow_hosts: other names by which readers reach the server.
        token_file: file that holds the token, or None.
        user_header: header in which a reverse proxy names the reader, or None.
        proxies: addresses of that proxy.
        audit: file of what was asked; None for one in `embeddings` where others than this machine
            may ask, else for none.
        max_upload_mb: largest clip that may be brought.
        device: where the model computes; None for the best device there is.

    Raises:
        OptionError: they do not go together.
    """

    checkpoints: Sequence[Path]
    shards: Path
    embeddings: Path | None = None
    findings: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    allow_hosts: Sequence[str] = ()
    token_file: Path | None = None
    user_header: str | None = None
    proxies: Sequence[str] = ()
    audit: Path | None = None
    max_upload_mb: int = 256
    device: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.checkpoints) <= 2:
            raise OptionError(f"{len(self.checkpoints)} models were given; give one, or two")
        if not self.is_private and self.token_file is None and self.user_header is None:
            raise OptionError(
                f"others may reach {self.host}: give --token FILE, a file with a secret of at "
                "least 16 characters, or --user-header NAME behind a proxy that asks for a login"
            )
        if self.proxies and self.user_header is None:
            raise OptionError("--proxy is for --user-header; give the name of that header")
        if self.token_file is not None and self.user_header is not None:
            raise OptionError("give --token or --user-header, and not both")

    @property
    def is_private(self) -> bool:
        """Whether this machine alone reaches the server."""
        return is_loopback(self.host)

    @property
    def folder(self) -> Path:
        """Where all is kept."""
        return self.embeddings or self.shards.resolve().parent / "search"

    def access(self) -> Access:
        """Who may ask.

        Raises:
            OptionError: the token cannot be read, or is too short.
        """
        token = None
        if self.token_file is not None:
            try:
                token = self.token_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise OptionError(
                    f"{self.token_file}: the token cannot be read ({type(error).__name__}); "
                    "--token takes a file with a secret in it"
                ) from error
        own = {"localhost", "127.0.0.1", "::1"} if self.is_private else set()
        if self.host in _EVERYWHERE:
            own |= {"localhost", "127.0.0.1", "::1", socket.gethostname()}
        names = {*own, self.host, *self.allow_hosts}
        proxies = frozenset(self.proxies) or frozenset({"127.0.0.1", "::1"})
        return Access(
            hosts=frozenset(name.lower().strip("[]") for name in names),
            token=token,
            user_header=self.user_header,
            proxies=proxies,
            max_body=self.max_upload_mb << 20,
        )

    def audit_file(self) -> Path | None:
        """The file of what was asked; None where none is kept."""
        if self.audit is not None:
            return self.audit
        alone = self.is_private and self.token_file is None and self.user_header is None
        return None if alone else self.folder / "audit.jsonl"

    def warnings(self) -> list[str]:
        """Sentences on what goes over the wire."""
        if self.is_private:
            return []
        return [
            f"others may reach {self.host}:{self.port}: clips, reports and the token go over the "
            "network as they are, without encryption; put a proxy with TLS before it "
            "(docs/search.md)"
        ]


def make_service(config: ServeConfig) -> Service:
    """What the server holds; no model is loaded yet, and no archive opened.

    Raises:
        EchoclipError: a model or the shards cannot be read, or the folder not be written to.
    """
    read_index(config.shards)
    with writing(config.folder, "what the search keeps", error=EchoclipError):
        config.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    sources = []
    for path in config.checkpoints:
        model = LazyModel(path, device=config.device)
        tasks = tasks_of(path)
        rules = finding_rules(read_tasks(*tasks).findings) if tasks else read_findings_rules()
        folder = config.folder / model.fingerprint[:16]
        sources.append(ModelSource(model=model, rules=rules, folder=folder))
    return Service(
        sources,
        config.shards,
        audit=Audit(config.audit_file()),
        marks=Marks(config.folder / "marks.sqlite"),
        findings=config.findings,
    )


def serve(config: ServeConfig, tell: Callable[[str], None]) -> None:
    """Serve until it is stopped.

    Args:
        config: settings.
        tell: told in sentences where it listens and what is kept.

    Raises:
        EchoclipError: see `make_service`; the port is taken; or a model cannot be loaded, which is
            known when the first pages are served already.
    """
    access = config.access()
    for sentence in config.warnings():
        tell(sentence)
    listening = _listen(config)
    service = make_service(config)
    is_open = service.open()
    audit = config.audit_file()
    tell(f"each question is noted in {audit}" if audit else "no audit is kept (--audit FILE)")
    address = listening.getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    tell(f"listening at http://{shown}:{address[1]}/" + ("" if is_open else " (embedding first)"))
    server = make_server(service, access)
    failed: list[Exception] = []

    def get_ready() -> None:
        while not server.started:  # torch takes all that there is: the first page comes before it
            time.sleep(0.05)
        try:
            device = service.load_models()
        except Exception as error:
            failed.append(error)
            server.should_exit = True
            return
        tell(f"the model is loaded, and computes on {device}")
        if not is_open:
            service.build()

    threading.Thread(target=get_ready, name="models", daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        service.reader.close()
        listening.close()
    if failed:
        raise failed[0]


def make_server(service: Service, access: Access) -> uvicorn.Server:
    """The server of HTTP, with no log of what is asked."""
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(service, access),
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
            http=_Connection,
            limit_concurrency=_MOST_AT_A_TIME,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=2,
        )
    )
    # What it says of each request has the address in it, and goes to whoever listens.
    logging.getLogger("uvicorn.access").disabled = True
    return server


class _Connection(H11Protocol):
    """uvicorn's, with a bound that it lacks: the head of a request must come in time.

    Without it, whoever opens as many connections as there may be, and says nothing, shuts the
    others out for as long as they like.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:  # a head that has begun
            self._wait_for_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _wait_for_head(self) -> None:
        if (
            self._late is None
        ):  # counted from its first byte, so that one now and then is not enough
            self._late = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _listen(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.host, config.port))
    except OSError as error:
        listening.close()
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there; choose another --port" if taken else error.strerror
        raise OptionError(f"{config.host}:{config.port}: {why}") from error
    listening.listen(128)
    return listening
