"""Makes the table and, where matplotlib is installed, the plot of the results in a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

TITLES = {"minilm": "all-MiniLM-L6-v2", "bert-base": "BERT-base", "bert-large": "BERT-large"}
INTRODUCTION = """# Results of `make bench`

Best of several calls in milliseconds, and in brackets the share of the limit: the arithmetic without padding at the
peak of the processor's fused multiply-adds, the best that was measured between the engines' visits at that shape.
`ragged` is 64 sequences of 4 to 128 tokens: an engine that computes its padding shows it there. RSS is the process's
peak; difference is the largest from torch_eager in any output. The medians are in the JSON files.

![share of the limit](plot.png)
"""


def table(result: dict) -> list[str]:
    """The lines of one result in Markdown."""
    threads, limits = result["threads"], result["limit_ms"]
    columns = ["engine", *limits, "load s", "RSS MB", "difference"]
    where = f"{result['processor']}, {result['cores']} cores"
    lines = [
        f"\n## {TITLES[result['model']]}, {threads} thread{'s' * (threads > 1)}\n",
        f"{where}, {result['date']} UTC\n",
        row(columns),
        row(["---"] + ["---:"] * (len(columns) - 1)),
    ]
    for name, engine in result["engines"].items():
        shapes = engine["shapes"]
        cells = [f"{shapes[s]['best_ms']:.2f} ({limits[s] / shapes[s]['best_ms']:.0%})" for s in limits]
        difference = max(shape["difference"] for shape in shapes.values())
        title = f"{name} {engine['version']}"
        lines.append(row([title, *cells, f"{engine['load_seconds']:.2f}", str(engine["rss_mb"]), f"{difference:.0e}"]))
    lines.append(row(["*peak in GFLOP/s*", *(f"*{peak:.0f}*" for peak in result["peak_gflops"].values()), "", "", ""]))
    lines.append(row(["*limit*", *(f"*{limit:.2f}*" for limit in limits.values()), "", "", ""]))
    lines += [f"\n{name} was skipped: {reason}" for name, reason in result["skipped"].items()]
    return lines


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plot(results: list[dict], path: Path) -> None:
    """Bars of the share of the limit, a panel for each model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.8 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), 1, squeeze=False)[:, 0]
    for axis, result in zip(axes, results):
        limits, engines = result["limit_ms"], result["engines"]
        width = 0.85 / len(engines)
        for i, (name, engine) in enumerate(engines.items()):
            shares = [100 * limits[shape] / engine["shapes"][shape]["best_ms"] for shape in limits]
            places = [place + (i - (len(engines) - 1) / 2) * width for place in range(len(limits))]
            axis.bar(places, shares, width * 0.92, label=name, color="black" if name == "bertc" else f"C{i - 1}")
        axis.set_title(f"{TITLES[result['model']]}, {result['threads']} thread", fontsize=10)
        axis.set_xticks(range(len(limits)), list(limits))
        axis.set_ylabel("% of the limit")
        axis.set_ylim(0, 100)
        axis.grid(axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(ncols=len(results[0]["engines"]), fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.1))
    figure.savefig(path, dpi=90)


def write(folder: Path) -> None:
    results = [json.loads(path.read_text()) for path in folder.glob("*-[0-9]*t.json")]
    order = list(TITLES)
    results.sort(key=lambda result: (order.index(result["model"]), result["threads"]))
    lines = [line for result in results for line in table(result)]
    (folder / "README.md").write_text(INTRODUCTION + "\n".join(lines) + "\n")
    try:
        plot([result for result in results if result["threads"] == 1] or results, folder / "plot.png")
    except ModuleNotFoundError:
        print("no plot: matplotlib is not installed")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("results"))
