"""The command that serves the search to browsers."""

from __future__ import annotations

import argparse
from typing import Any

from echoclip_r.cli.options import add_device, here
from echoclip_r.errors import ExtraError
from echotok.cli.console import tell
from echotok.cli.options import whole_number

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add this module's command to those of `echoclip-r` (argparse's sub-parsers action)."""
    parser = commands.add_parser(
        "serve",
        help="search an archive in a browser",
        description="Serve a search to browsers: by text, report, clip, study and findings. What "
        "is not embedded yet is embedded first, with its progress on the page; a server that was "
        "stopped goes on. By default only this machine reaches it. It reads the archive and writes "
        "embeddings, readers' marks and the audit, all into one folder; docs/search.md says how to "
        "install it.",
    )
    parser.add_argument(
        "checkpoint",
        type=here,
        metavar="CHECKPOINT",
        help="folder of a run, whose best checkpoint is taken, or folder of one checkpoint",
    )
    add_device(parser)
    parser.add_argument(
        "--shards", type=here, required=True, metavar="DIR", help="the archive: shards of `prepare`"
    )
    parser.add_argument(
        "--beside",
        type=here,
        metavar="CHECKPOINT",
        help="a second model, whose answers stand beside those of the first",
    )
    parser.add_argument(
        "--embeddings",
        type=here,
        metavar="DIR",
        help="folder for embeddings, marks and audit (default: search, beside the shards); it "
        "holds the reports",
    )
    parser.add_argument(
        "--findings",
        type=here,
        metavar="FILE",
        help="findings from `echotok findings` whose reports are named by study, in place of "
        "reading the reports at the first start",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen at (default: 127.0.0.1, which only this machine reaches)",
    )
    parser.add_argument(
        "--port",
        type=whole_number(0),
        default=8080,
        metavar="N",
        help="port to listen at, 0 for one that is free (default: 8080)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name by which readers reach the server, such as that of the proxy before it; "
        "may be given several times",
    )
    parser.add_argument(
        "--token",
        type=here,
        metavar="FILE",
        help="file with a secret that each reader must give once",
    )
    parser.add_argument(
        "--user-header",
        metavar="NAME",
        help="header in which a proxy that asks for a login names the reader, e.g. X-Remote-User",
    )
    parser.add_argument(
        "--proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="address from which that header is believed (default: this machine)",
    )
    parser.add_argument(
        "--audit",
        type=here,
        metavar="FILE",
        help="file of who asked when and which studies were shown (default: audit.jsonl among the "
        "embeddings where a token or user is asked for, else none)",
    )
    parser.add_argument(
        "--max-upload-mb",
        type=whole_number(1),
        default=256,
        metavar="N",
        help="largest clip that may be brought, in MB (default: 256)",
    )
    parser.set_defaults(run=_serve, stopped=_stopped)


def _stopped(arguments: argparse.Namespace) -> str:
    """What to say after Ctrl-C."""
    del arguments
    return "the server has stopped; what is embedded is kept"


def _serve(arguments: argparse.Namespace) -> None:
    try:
        from echoclip_r.serve.server import ServeConfig, serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("starlette", "uvicorn"):
            raise
        raise ExtraError(
            f"serve needs the Python package {missing}, which is not installed; "
            'pip install "echotok[echoclip-r,serve]" installs it'
        ) from error

    config = ServeConfig(
        checkpoints=[arguments.checkpoint, *([arguments.beside] if arguments.beside else [])],
        shards=arguments.shards,
        embeddings=arguments.embeddings,
        findings=arguments.findings,
        host=arguments.host,
        port=arguments.port,
        allow_hosts=arguments.allow_host,
        token_file=arguments.token,
        user_header=arguments.user_header,
        proxies=arguments.proxy,
        audit=arguments.audit,
        max_upload_mb=arguments.max_upload_mb,
        device=arguments.device,
    )
    serve(config, tell)
