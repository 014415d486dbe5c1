"""Loads a sample as a module, wherever it stands: samples are copied out and import nothing of this repository."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def load(path: str) -> ModuleType:
    """The sample at a path below samples/, as a module of its own."""
    file = SAMPLES / path
    spec = importlib.util.spec_from_file_location(f"sample_{file.parent.name}_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
