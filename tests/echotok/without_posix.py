"""Hide from a process what Windows does not have; the nearest to Windows that runs here."""

from __future__ import annotations

import os
import signal
import sys

MODULES = ("fcntl", "termios", "tty", "pty", "pwd", "grp", "resource", "syslog")
CALLS = {
    os: (
        "fork", "forkpty", "register_at_fork", "sched_getaffinity", "sched_setaffinity", "getuid",
        "geteuid", "getloadavg", "killpg", "setsid", "statvfs", "fchmod", "chown", "mkfifo",
    ),
    signal: (
        "SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "alarm",
        "setitimer", "pthread_sigmask",
    ),
}  # fmt: skip


def hide() -> None:
    """From now on, none of it can be imported or called."""
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in CALLS.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
