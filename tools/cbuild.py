"""Compiles csrc/: the one place that knows its compiler flags. Used by setup.py, and as a program by the Makefile.

cbuild.py check                 compiles everything with warnings as errors
cbuild.py ctest                 builds and runs tests/c/*.c, each a program of its own
cbuild.py ctest --mode=asan     the same under AddressSanitizer and UBSan; also: tsan, debug
cbuild.py fuzz                  runs tests/fuzz/*.c on mutations of the model files in tests/data, under both
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CC = shlex.split(os.environ.get("CC", "cc"))
JOBS = int(os.environ.get("BERTC_JOBS", 0)) or os.cpu_count() or 2

MACHINE = platform.machine().lower()
X86 = ("x86_64", "amd64")
ARM = ("aarch64", "arm64")
# Folders with an instruction set of their own: the machines that compile them, and the flags that only they get.
ISA_FOLDERS = {
    "csrc/kernel/avx2": (X86, ["-mavx2", "-mfma", "-mf16c"]),
    "csrc/kernel/avx512": (X86, ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c"]),
    "csrc/kernel/neon": (ARM, []),
}

LANGUAGE = ["-std=c11", "-fPIC", "-fvisibility=hidden", "-D_GNU_SOURCE", "-Icsrc", "-pthread"]
# Results must not depend on how a compiler reorders sums, so nothing of -ffast-math that does; two of these only say
# that nobody reads errno or floating-point traps. Contraction would make a reference kernel differ between machines.
MATH = ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
# maybe-uninitialized depends on what gets inlined, and cannot see that nobody reads a result after a failed status.
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wundef", "-Wmissing-prototypes", "-Wno-maybe-uninitialized"]
MODES = {
    "release": ["-O3", "-g0", "-DNDEBUG"],
    "debug": ["-O1", "-g"],
    "asan": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "tsan": ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=thread"],
}
LIBRARIES = ["-lz", "-ldl", "-lpthread", "-lm"]


def core_sources() -> list[Path]:
    """csrc's C files that this machine compiles, relative to the project."""
    skipped = tuple(folder + "/" for folder, (machines, _) in ISA_FOLDERS.items() if MACHINE not in machines)
    paths = sorted(path.relative_to(ROOT) for path in (ROOT / "csrc").rglob("*.c"))
    return [path for path in paths if not path.as_posix().startswith(skipped)]


def flags_of(source: Path, mode: str) -> list[str]:
    isa = ISA_FOLDERS.get(source.parent.as_posix(), ((), []))[1]
    return [*LANGUAGE, *MATH, *WARNINGS, *MODES[mode], *isa]


def link_flags(mode: str) -> list[str]:
    return [flag for flag in MODES[mode] if flag.startswith("-fsanitize")]


def is_current(output: Path, command: list[str]) -> bool:
    """Whether `output` was made by this command, after the last change of everything it was made from."""
    made_by, depends = output.with_suffix(".cmd"), output.with_suffix(".d")
    if not (output.exists() and made_by.exists() and depends.exists()) or made_by.read_text() != shlex.join(command):
        return False
    made = output.stat().st_mtime
    names = depends.read_text().replace("\\\n", " ").partition(": ")[2].split()
    return all((ROOT / name).exists() and (ROOT / name).stat().st_mtime <= made for name in names)


def run(command: list[str]) -> None:
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.stdout:
        print(result.stdout, file=sys.stderr, end="")
    if result.returncode:
        raise SystemExit(f"failed: {shlex.join(command)}")


def compile_all(sources: list[Path], folder: Path, mode: str, extra: list[str]) -> list[Path]:
    """Compiles what has changed since the last time, in parallel; returns the object files."""

    def compile_one(source: Path) -> Path:
        output = folder / source.with_suffix(".o")
        command = [*CC, *flags_of(source, mode), *extra, "-MMD", "-c", str(source), "-o", str(output)]
        if not is_current(output, command):
            output.parent.mkdir(parents=True, exist_ok=True)
            run(command)
            output.with_suffix(".cmd").write_text(shlex.join(command))
        return output

    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(compile_one, sources))


def build_folder(mode: str) -> Path:
    return ROOT / "build" / f"c-{mode}"


def programs(folder: str) -> list[Path]:
    """The C files of tests/<folder>, each a program of its own."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / "tests" / folder).glob("*.c"))


def link_program(source: Path, mode: str, extra: list[str]) -> Path:
    folder = build_folder(mode)
    core = compile_all(core_sources(), folder, mode, [])
    objects = [*compile_all([source], folder, mode, ["-Werror", *extra]), *core]
    program = folder / source.with_suffix("")
    run([*CC, *link_flags(mode), *map(str, objects), *LIBRARIES, "-o", str(program)])
    return program


def check(mode: str) -> None:
    sources = [*core_sources(), *programs("c"), *programs("fuzz")]
    compile_all(sources, ROOT / "build" / "c-check", mode, ["-Werror"])


def ctest(mode: str, only: str) -> None:
    """Runs each program of tests/c; a status other than 0 is a failure."""
    failed = []
    for test in (test for test in programs("c") if only in test.stem):
        status = subprocess.run([link_program(test, mode, [])], cwd=ROOT).returncode
        print(f"{'ok    ' if status == 0 else 'FAILED'} {test}", flush=True)
        if status:
            failed.append(test)
    if failed:
        raise SystemExit(f"{len(failed)} of the C tests failed")


def fuzz(mutations: int) -> None:
    models = (".pt", ".bin", ".ot", ".npz", ".safetensors")
    files = (path for path in (ROOT / "tests" / "data").rglob("*") if path.suffix in models)
    seeds = sorted(path.relative_to(ROOT) for path in files)
    for source in programs("fuzz"):
        program = link_program(source, "asan", ["-DBT_FUZZ_MAIN"])
        subprocess.run([program, "-mutate", str(mutations), "1", *seeds], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["check", "ctest", "fuzz"])
    parser.add_argument("--mode", choices=MODES, default="release")
    parser.add_argument("--only", default="", help="ctest: programs whose name contains this")
    parser.add_argument("--mutations", type=int, default=200, help="fuzz: of each file")
    args = parser.parse_args()
    if args.task == "check":
        check(args.mode)
    elif args.task == "ctest":
        ctest(args.mode, args.only)
    else:
        fuzz(args.mutations)


if __name__ == "__main__":
    main()
