"""How many cores one process uses. Alone, it takes all of its machine; a worker of a team takes one.

With as many workers as cores, more threads only make them wait for one another: `OMP_NUM_THREADS=1`. BLAS, OpenMP and
Arrow obey this variable by themselves; DuckDB and the threads of the house obey it through `threads`.
"""

from __future__ import annotations

import os

VARIABLE = "OMP_NUM_THREADS"


def threads() -> int:
    """Cores that this process may use: those that `OMP_NUM_THREADS` allows, else all."""
    told = os.environ.get(VARIABLE)
    return int(told) if told else os.cpu_count() or 1
