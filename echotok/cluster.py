"""A cluster of Dask as a standard executor; `distributed` (extra `cluster`) is needed for it alone.

Dask's workers may be processes started by hand, by dask-jobqueue on Slurm, LSF, PBS or Grid Engine,
or by dask-kubernetes. They must see the same files under the same names, and have the same packages
as the process that asks them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from echotok.errors import EchotokError, OptionError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterExecutor", "connected"]

_log = logging.getLogger(__name__)

_ANSWER_S = 30.0  # for a scheduler that is there
_WAIT_S = 600.0  # for workers, which a batch system or a busy machine takes minutes to start
_SAY_S = 10.0

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")


class ClusterExecutor(Executor):
    """Work on the workers of a Dask cluster, as `concurrent.futures` has it.

    A worker that dies costs nothing: Dask gives its work to another one. Work whose workers die
    again and again fails with a `BrokenExecutor`, as it would in a pool of processes.

    Args:
        client: a client of the cluster.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        # Not pure: work that failed is done anew when it is submitted again.
        self._executor = client.get_executor(pure=False)
        self._had_workers = True

    @property
    def num_workers(self) -> int:
        """How many pieces of work the cluster does at once by now; workers come and go.

        Raises:
            ConnectionError: the scheduler does not answer.
        """
        try:
            number: int = sum(self._client.nthreads().values())
        except OSError as error:  # of Dask's own kind, with the inside of a connection in its text
            raise ConnectionError("the scheduler of the cluster is gone") from error
        if not number and self._had_workers:
            _log.warning("no worker is left in the cluster; the work waits until one comes")
        self._had_workers = bool(number)
        return number

    def submit(
        self, fn: Callable[Arguments, ResultT], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[ResultT]:
        """See `concurrent.futures.Executor.submit`."""
        theirs: Future[ResultT] = self._executor.submit(fn, *args, **kwargs)
        ours: Future[ResultT] = Future()
        ours.set_running_or_notify_cancel()
        theirs.add_done_callback(lambda done: _pass_on(done, ours))
        return ours

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor.shutdown`; the cluster itself lives on."""
        self._executor.shutdown(wait=wait and not cancel_futures)


def _pass_on(theirs: Future[ResultT], ours: Future[ResultT]) -> None:
    from distributed import KilledWorker

    try:
        ours.set_result(theirs.result())
    except CancelledError:
        ours.set_exception(ConnectionError("the scheduler of the cluster is gone"))
    except KilledWorker:
        ours.set_exception(BrokenExecutor("every worker that had it died"))
    except BaseException as error:
        ours.set_exception(error)


@contextmanager
def connected(address: str, *, packages: Sequence[str]) -> Iterator[ClusterExecutor]:
    """An executor of the cluster with this scheduler; what it still does at the end is given up.

    Args:
        address: of the scheduler, e.g. `tcp://10.0.0.1:8786`.
        packages: those that decide what is made: their versions must be the same.

    Raises:
        OptionError: `distributed` is not installed, or no scheduler or no worker answers.
        EchotokError: a worker has another version of one of the packages.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_address, parse_host_port
        from distributed.comm.registry import get_backend
    except ImportError as error:
        raise OptionError(
            '--cluster needs the package distributed: pip install "echotok[cluster]"'
        ) from error
    try:
        # A client of what is no address at all would be half made, and take a minute to go away.
        scheme, place = parse_address(address)
        get_backend(scheme)
        parse_host_port(place)
        client = Client(address, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:  # its TimeoutError is an OSError
        reason = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise OptionError(
            f"--cluster {address}: no scheduler of Dask answers there ({reason}); "
            "start one with `dask scheduler` and give the address that it prints, e.g. "
            "tcp://10.0.0.1:8786"
        ) from error
    with client:
        try:
            try:
                client.wait_for_workers(1, timeout=min(_SAY_S, _WAIT_S))
            except TimeoutError:
                _log.warning("%s has no worker yet; waiting %.0f s for one", address, _WAIT_S)
                client.wait_for_workers(1, timeout=_WAIT_S)
        except TimeoutError as error:
            raise OptionError(
                f"--cluster {address}: there is a scheduler and no worker; start some with `dask "
                f"worker {address} --nthreads 1`"
            ) from error
        _check(client.run(versions, packages), packages)
        executor = ClusterExecutor(client)
        _log.info("%d threads of workers at %s", executor.num_workers, address)
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)


def versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of the packages that decide what is written."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def _check(workers: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> None:
    ours = versions(names)
    for address, theirs in sorted(workers.items()):
        for name, own in ours.items():
            if theirs.get(name) != own:
                raise EchotokError(
                    f"the worker {address} has {name} {theirs.get(name)}, and this process {own}: "
                    "what they write would differ; install the same versions on both"
                )
