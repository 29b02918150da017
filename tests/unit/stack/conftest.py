import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    path = Path(__file__).with_name("fakes.py")
    spec = importlib.util.spec_from_file_location("stack_fakes", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stack_fakes"] = module
    spec.loader.exec_module(module)
    return module


_FAKES = _load()


@pytest.fixture
def clock():
    return _FAKES.ManualClock()


@pytest.fixture
def dispatcher():
    return _FAKES.FakeDispatcher()


@pytest.fixture
def make_domains():
    return _FAKES.FakeDomains
