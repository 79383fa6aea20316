"""The names that `import echoclip_r` gives."""

import subprocess
import sys
from importlib.resources import files

import pytest

import echoclip_r
import echotok

NAMES = [
    "prepare",
    "read_manifest",
    "train",
    "TrainConfig",
    "load_model",
    "embed",
    "embed_reports",
    "evaluate",
    "find_reports",
    "find_videos",
    "prompt_cam",
]


def test_every_name_is_there_and_listed():
    """They can be used, `dir` shows them, and `__all__` says no more and no less."""
    errors = {name for name in echoclip_r.__all__ if name.endswith("Error")}
    assert set(echoclip_r.__all__) == {*NAMES, *errors, "__version__"}
    assert set(echoclip_r.__all__) <= set(dir(echoclip_r))
    for name in NAMES:
        assert callable(getattr(echoclip_r, name))
        assert getattr(echoclip_r, name).__doc__
    for name in errors:
        assert issubclass(getattr(echoclip_r, name), echoclip_r.EchoclipError)
    assert echoclip_r.__version__ == echotok.__version__


def test_an_unknown_name_is_an_attribute_error():
    """As of any other module."""
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = echoclip_r.trian


def test_the_types_are_shipped():
    """A type checker looks for this file."""
    assert (files("echoclip_r") / "py.typed").is_file()


def test_the_import_itself_is_light():
    """Torch and the rest come with the first name that needs them."""
    code = (
        "import sys, echoclip_r; dir(echoclip_r)\n"
        "heavy = {'numpy', 'torch', 'pandas', 'av', 'open_clip', 'scipy', 'echotok'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_missing_package_is_named_with_what_brings_it():
    """The error is an ImportError and one of ours."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import echoclip_r\n"
        "try: echoclip_r.train\n"
        "except echoclip_r.ExtraError as error: print(isinstance(error, ImportError), error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "True echoclip_r.train needs the Python package torch, which is not installed; pip install "
        '"echotok[echoclip-r]" installs everything that echoclip_r needs\n'
    )
