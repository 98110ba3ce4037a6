#!/usr/bin/env python3
"""Puts every fault of mutations.toml into a copy of the project, one at a time, and runs the simulation on it.

Prints which test noticed each fault, and writes docs/mutations.md. Ends with 1 if one went unnoticed.
Takes a minute per fault. `mutate.py TEXT` tries only faults whose description contains TEXT, `mutate.py --missing` those that the
page does not have yet, or that nobody noticed.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "tests/simulation/mutations.toml"
PAGE = ROOT / "docs/mutations.md"
COPY = ROOT / "target/mutations"
HEAD = """# Does the simulation notice?

Every invariant of a run (`src/core/engine/mod.rs`) was broken on purpose, one fault at a time, and the simulation was run on it:
`python3 tests/simulation/mutate.py` does it again and writes this page. The faults are in `tests/simulation/mutations.toml`, as
changes of the source; a test checks that they still fit it. A fault that does not let the code compile counts as unnoticed.

Invariant 11, that the cost of a transition does not grow, is no matter of the simulation; `cargo run --release --example graph` shows it.

| Invariant | Fault | Noticed by | What it says |
|---:|---|---|---|
"""


def copy() -> None:
    """Makes or renews the copy; files that did not change keep their times, so that cargo compiles only what did."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        source, target = ROOT / name, COPY / name
        if not source.exists():
            continue
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def run(*filters: str) -> tuple[bool, str]:
    """Runs some of the simulation on the copy: whether it passes, and what it says."""
    # One crate alone is built without the SDK; beside what is built of all crates it would be built anew each time.
    target = str(ROOT / "target/mutations-build")
    command = ["cargo", "test", "--locked", "-p", "drctl-core", "--test", "simulation", "--", "--skip", "executor", "--skip", "mutations", *filters]
    # What only costs time here.
    quick = {"CARGO_INCREMENTAL": "1", "CARGO_PROFILE_DEV_DEBUG": "none"}
    environment = os.environ | quick | {"CARGO_TARGET_DIR": target, "RUST_BACKTRACE": "0"}
    try:
        ended = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True, timeout=900)
    except subprocess.TimeoutExpired:
        return False, "test result: FAILED\ntest the simulation ... FAILED\nit came to no end"
    return ended.returncode == 0, ended.stdout + ended.stderr


def simulate() -> tuple[bool, str]:
    """Runs the simulation on the copy; what takes minutes only when all else has noticed nothing."""
    passes, told = run("--skip", "crash", "--skip", "interrupt")
    return run("crash", "interrupt") if passes else (passes, told)


def verdict(told: str) -> tuple[str, str] | None:
    """Which test noticed first, and its words."""
    failed = re.findall(r"^test (\S+) \.\.\. FAILED", told, re.MULTILINE)
    if not failed:
        return None
    said = re.search(r"panicked at [^\n]*:\n([^\n]*)", told) or re.search(r"FAILED\n(it came to no end)", told)
    words = said.group(1).strip() if said else ""
    names = f"`{failed[0]}`" + (f" and {len(failed) - 1} more" if len(failed) > 1 else "")
    return names, words.replace("|", "\\|")[:110]


def known() -> dict[str, str]:
    """The rows of the page, by their faults."""
    lines = PAGE.read_text().splitlines() if PAGE.exists() else []
    return {line.split(" | ")[1]: line for line in lines if re.match(r"\| \d+ \| ", line)}


def write(mutations: list[dict], rows: dict[str, str]) -> None:
    """Writes the page with the rows that there are, in the order of the list."""
    lines = [rows[one["fault"]] for one in mutations if one["fault"] in rows]
    missing = len(mutations) - len(lines)
    rest = f"\n{missing} more faults of the list were not tried yet: `mutate.py --missing`.\n" if missing else ""
    PAGE.write_text(HEAD + "\n".join(lines) + "\n" + rest)


def main() -> int:
    everything = tomllib.loads(LIST.read_text())["mutation"]
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    rows = known()
    if wanted == "--missing":
        mutations = [one for one in everything if "**nobody**" in rows.get(one["fault"], "**nobody**")]
    else:
        mutations = [one for one in everything if wanted in one["fault"]]
    copy()
    unnoticed = 0
    for mutation in mutations:
        file = COPY / mutation["file"]
        text = (ROOT / mutation["file"]).read_text()
        assert text.count(mutation["from"]) == 1, f"{mutation['fault']}: the code has changed"
        file.write_text(text.replace(mutation["from"], mutation["to"]))
        start = time.monotonic()
        passes, told = simulate()
        file.write_text(text)
        noticed = None if passes else verdict(told)
        if noticed is None:
            unnoticed += 1
            errors = re.findall(r"^error.*", told, re.MULTILINE)
            noticed = ("**nobody**", errors[0] if errors else "")
        by, words = noticed
        print(f"{mutation['invariant']:>2}  {mutation['fault']}: {by}: {words} ({time.monotonic() - start:.0f} s)", flush=True)
        rows[mutation["fault"]] = f"| {mutation['invariant']} | {mutation['fault']} | {by} | {words} |"
        write(everything, rows)
    print(f"{len(mutations) - unnoticed} of {len(mutations)} noticed")
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())
