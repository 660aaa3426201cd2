"""Checks what a compiler does not: layers, names, headers, file sizes and first lines. Part of `make lint`."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cbuild

ROOT = cbuild.ROOT
MAX_LINES = 600
MAX_COLUMNS = 120

# Which layers each layer of csrc may include, besides itself. "api" is bertc.h and bertc.c.
LAYERS = {
    "base": (),
    "format": ("base",),
    "graph": ("base",),
    "kernel": ("base",),
    "load": ("base", "format", "graph", "api"),
    "pass": ("base", "graph"),
    "exec": ("base", "graph", "kernel", "load", "pass", "api"),
    "api": ("base", "format", "graph", "load", "pass", "kernel", "exec"),
}
BINDING_INCLUDES = re.compile(r'"(bertc\.h|_convert\.h|_core\.h|_state_dict\.h)"|<(Python\.h|numpy/arrayobject\.h)>')
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<][^">]+[">])', re.MULTILINE)
FIRST_LINE = re.compile(r"/\* (\S+): \S.*")


def c_files() -> list[Path]:
    folders = ("csrc", "bertc", "tests")
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*") if p.suffix in (".c", ".h", ".inc"))


def layer_of(name: str) -> str:
    """Of a path below csrc: its first folder, "api" for bertc.h and bertc.c."""
    return name.partition("/")[0] if "/" in name else "api"


def check_text(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    problems = []
    first = FIRST_LINE.match(lines[0])
    if not first or first[1] != path.name:
        problems.append(f"1: the first line is not /* {path.name}: purpose */")
    if len(lines) - 1 > MAX_LINES:
        problems.append(f"{MAX_LINES}: {len(lines) - 1} lines, at most {MAX_LINES}: split by concept")
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            problems.append(f"{number}: a tab")
        if line != line.rstrip():
            problems.append(f"{number}: trailing blanks")
        if len(line) > MAX_COLUMNS:
            problems.append(f"{number}: {len(line)} columns, at most {MAX_COLUMNS}")
        if re.search(r"(?<![:'])//", re.sub(r'"(\\.|[^"\\])*"', '""', line)):
            problems.append(f"{number}: a // comment")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            problems.append(f"{number}: unfinished work")
    if not text.endswith("\n") or text.endswith("\n\n"):
        problems.append(f"{len(lines)}: a file ends with one line break")
    return problems


def check_includes(path: Path) -> list[str]:
    """csrc: layers, and no Python. bertc: nothing of the core but its public header."""
    problems = []
    relative = path.relative_to(ROOT).as_posix()
    for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
        name = include[1:-1]
        if relative.startswith("csrc/"):
            layer = layer_of(relative.removeprefix("csrc/"))
            if name == "Python.h" or name.startswith("numpy/"):
                problems.append(f"1: includes {name}; only bertc/ knows Python")
            elif include[0] == '"' and layer_of(name) not in (layer, *LAYERS[layer]):
                problems.append(f"1: layer {layer} includes {name} of {layer_of(name)}")
            if include[0] == '"' and not (ROOT / "csrc" / name).exists():
                problems.append(f"1: includes {name}, which is no path from csrc")
        elif relative.startswith("bertc/") and not BINDING_INCLUDES.match(include):
            problems.append(f"1: includes {name}; the binding uses only bertc.h")
    return problems


def check_header(path: Path) -> list[str]:
    """A header compiles alone, twice: with the flags of its instruction set, on machines that have it."""
    name = path.relative_to(ROOT / "csrc").as_posix()
    machines, isa = cbuild.ISA_FOLDERS.get(f"csrc/kernel/{path.stem}", ((cbuild.MACHINE,), []))
    if cbuild.MACHINE not in machines:
        return []
    flags = [*cbuild.flags_of(path.relative_to(ROOT), "debug"), *isa]
    source = f'#include "{name}"\n#include "{name}"\n'
    command = [*cbuild.CC, *flags, "-Werror", "-Wno-unused-function", "-fsyntax-only", "-x", "c", "-"]
    result = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True)
    return [f"1: does not compile alone: {result.stderr.strip()}"] if result.returncode else []


def is_template(path: Path) -> bool:
    """Files that are included for their text, with macros set: they need their includer."""
    return path.suffix == ".inc" or path.stem.endswith("_tmpl")


def check_symbols() -> list[str]:
    """Every external name of the core starts with bt_ or bertc_; only bertc_ leaves the library."""
    objects = cbuild.compile_all(cbuild.core_sources(), ROOT / "build" / "c-check", "release", ["-Werror"])
    problems = []
    for line in run_nm(["-A", "-g", "--defined-only", *map(str, objects)]):
        place, _, name = line.rpartition(" ")
        if not name.startswith(("bt_", "bertc_")):
            problems.append(f"{Path(place.partition(':')[0]).relative_to(ROOT)}:1: external name {name}")
    for library in (ROOT / "bertc").glob("_core*.so"):
        for line in run_nm(["-D", "-g", "--defined-only", str(library)]):
            name = line.split()[-1]
            if not name.startswith(("bertc_", "PyInit__core", "_init", "_fini")):
                problems.append(f"{library.relative_to(ROOT)}:1: exports {name}")
    return problems


def run_nm(args: list[str]) -> list[str]:
    result = subprocess.run(["nm", *args], check=True, capture_output=True, text=True)
    return [line for line in result.stdout.splitlines() if line.strip()]


def main() -> None:
    files = c_files()
    checks = [(path, check) for path in files for check in (check_text, check_includes)]
    headers = [p for p in files if p.suffix == ".h" and p.is_relative_to(ROOT / "csrc") and not is_template(p)]
    checks += [(path, check_header) for path in headers]
    with ThreadPoolExecutor(cbuild.JOBS) as pool:
        found = pool.map(lambda item: (item[0], item[1](item[0])), checks)
        problems = [f"{path.relative_to(ROOT)}:{text}" for path, texts in found for text in texts]
    problems += check_symbols()
    print("\n".join(problems) if problems else f"check_tree: {len(files)} files are fine")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
