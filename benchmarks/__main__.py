"""`make bench`: every benchmark, one table, and a failure when a limit is broken.

A limit holds either the seconds of a case or the ratio of its seconds to those of a peer measured in the same run:
the second kind does not depend on the machine. A case that cannot run here says why and breaks nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from benchmarks import bench_pipeline, bench_readers, bench_statistics

BENCHES: dict[str, Callable[[], list[dict]]] = {
    "statistics": bench_statistics.run,
    "readers": bench_readers.run,
    "pipeline": bench_pipeline.run,
}


def broken(case: dict) -> bool:
    """True when the case takes more time or memory than it may."""
    held = case["ratio"] if case["limit_on"] == "ratio" else case["seconds"]
    too_slow = case["limit"] is not None and held > case["limit"]
    too_large = case.get("memory_limit_mb") is not None and case["memory_mb"] > case["memory_limit_mb"]
    return too_slow or too_large


def row(case: dict) -> list[str]:
    """The cells of one case: name, seconds, peer, ratio, limit, memory, verdict."""
    if "skipped" in case:
        return [case["name"], "", "", "", "", "", f"skipped: {case['skipped']}"]
    limit, memory = case["limit"], case.get("memory_mb")
    unit = "x" if case["limit_on"] == "ratio" else "s"
    most = case.get("memory_limit_mb")
    return [
        case["name"],
        f"{case['seconds']:.2f}",
        "" if case["peer_seconds"] is None else f"{case['peer_seconds']:.2f}",
        "" if case["ratio"] is None else f"{case['ratio']:.3f}",
        "" if limit is None else f"{limit:.3g} {unit}",
        ("" if memory is None else f"{memory:.0f} MB") + (f" of {most:.0f}" if most else ""),
        "broken" if broken(case) else "" if limit is None else "held",
    ]


def main(names: list[str]) -> int:
    """Run the named benches, or all; 1 when a limit is broken, 2 for an unknown name."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        console.print(f"Unknown bench: {', '.join(unknown)}. Known: {', '.join(BENCHES)}.")
        return 2
    table = Table("bench", "case", *("seconds", "peer", "ratio", "limit", "memory", "verdict"))
    failed = False
    for name in names or BENCHES:
        for case in BENCHES[name]():
            table.add_row(name, *row(case))
            failed |= "skipped" not in case and broken(case)
    console.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
