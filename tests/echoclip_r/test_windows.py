"""What only POSIX has is needed to import nothing of echoclip_r; no Windows machine was at hand."""

import subprocess
import sys
import types
from pathlib import Path

import pytest

from echoclip_r.errors import ShardError
from echoclip_r.storage import lock, write_text

HIDING = Path(__file__).parents[1] / "echotok"


def test_every_module_is_imported_without_posix(tmp_path):
    """Each package of others, torch first, is imported before it: what they need is not ours."""
    code = f"""
import importlib, pkgutil, sys
sys.path.insert(0, {str(HIDING)!r})
from without_posix import hide
import open_clip, pandas, sklearn.metrics, torch, torchvision, webdataset
hide()
import echoclip_r
names = [module.name for module in pkgutil.walk_packages(echoclip_r.__path__, "echoclip_r.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


@pytest.fixture
def windows(monkeypatch):
    """`sys.platform` of Windows, and its lock of a file made of ours: it names no other way."""
    fcntl = pytest.importorskip("fcntl")

    def locking(descriptor, how, num_bytes):
        assert (how, num_bytes) == (2, 1 << 20)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    stand_in = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
    monkeypatch.setitem(sys.modules, "msvcrt", stand_in)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(sys, "platform", "win32")


def test_a_lock_by_the_call_of_windows(windows, tmp_path):
    """A second run is refused while the first holds the folder, and has it afterwards."""
    with lock(tmp_path / "out", what="shards", error=ShardError):
        with (
            pytest.raises(ShardError, match="another run is writing shards there"),
            lock(tmp_path / "out", what="shards", error=ShardError),
        ):
            raise AssertionError("two runs in one folder")
        write_text(tmp_path / "out" / "a.txt", "whole")
    with lock(tmp_path / "out", what="shards", error=ShardError):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.txt"]
