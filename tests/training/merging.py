"""Merges in a process of its own, which may have a small disk: python -m tests.training.merging ADAPTER BASE TARGET [FILE_LIMIT]"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from evals.errors import TrainingError
from training.bases import open_base
from training.manifest import open_adapter
from training.merge import merge

if __name__ == "__main__":
    adapter, base, target = sys.argv[1:4]
    if sys.argv[4:]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
    try:
        print(merge(open_adapter(Path(adapter)), open_base(base), Path(target)))
    except TrainingError as error:
        sys.exit(f"ERROR: {error}")
