"""Medians, ratios and tables out of the rounds."""
import contextlib
import os
import pathlib
import platform
import statistics
import subprocess
from typing import NamedTuple

# Both sides of a ratio come from the same round; one that scatters by as much between rounds decides nothing.
NOISY = 0.10
SPREAD_LEGEND = "~ = between rounds this differs by 10 % of its median or more: it decides nothing"
LEGEND = SPREAD_LEGEND + "; ! = others used the CPUs meanwhile, in at least one round"

# What issue, contract and PERFORMANCE ask for: case, field, rival, bound, what.
MUSTS = [
    (("chat", False, 1024, 64), "cpu_us", "nginx", 0.85, "1 KB, 64 connections: CPU, weir / nginx"),
    (("chat", False, 1024, 64), "cpu_us", "haproxy", 0.85, "1 KB, 64 connections: CPU, weir / HAProxy"),
    (("chat", False, 1024, 64), "cpu_us", "relay", 1.25, "1 KB, 64 connections: CPU, weir / relay"),
    (("chat", False, 32768, 64), "cpu_us", "nginx", 0.85, "32 KB, 64 connections: CPU, weir / nginx"),
    (("chat", False, 32768, 64), "cpu_us", "relay", 1.3, "32 KB, 64 connections: CPU, weir / relay"),
    (("chat", False, 1024, 1), "added_p50_us", "nginx", 1.0, "1 connection: added p50, weir / nginx"),
    (("chat", False, 1024, 1), "added_p99_us", "nginx", 1.0, "1 connection: added p99, weir / nginx"),
    (("chat", False, 1024, 64), "cpu_us", "portkey", 1 / 80, "1 KB, 64 connections: CPU, weir / Portkey"),
    (("chat", True, 1024, 64), "cpu_us", "nginx", 0.9, "TLS, 1 KB, 64 connections: CPU, weir / nginx"),
    (("stream", False, 1024, 16), "cpu_us", "nginx", 0.87, "SSE, 16 streams: CPU per frame, weir / nginx"),
    (("stream", False, 1024, 64), "cpu_us", "nginx", 0.87, "SSE, 64 streams: CPU per frame, weir / nginx"),
    (("stream", False, 1024, 16), "added_ttft_us", "nginx", 1.0, "SSE, 16 streams: added TTFT, weir / nginx"),
]
IDLE_KIB, MUST_IDLE = 8 * 1024, "weir's memory at rest, KiB"
ENTERS_CASE, MOST_ENTERS = ("chat", False, 1024, 64), 0.6
MUST_ENTERS = "1 KB, 64 connections: kernel entries per exchange"


class Must(NamedTuple):
    what: str
    found: float
    must: float
    met: bool
    spread: float  # of `found` between rounds: (greatest - least) / median


class Ratio(NamedTuple):
    median: float
    spread: float


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def spread_of(values):
    values = [value for value in values if value is not None]
    return (max(values) - min(values)) / statistics.median(values) if values and statistics.median(values) else 0


def ratio_of(pairs):
    """Of (a, b) per round: the median of a / b and how it spreads; None where no round has both, and b above 0."""
    ratios = [a / b for a, b in pairs if a is not None and b is not None and b > 0]
    return Ratio(statistics.median(ratios), spread_of(ratios)) if ratios else None


def mark(spread):
    return " ~" if spread is not None and spread >= NOISY else ""


def size_name(size):
    return f"{size // 1024} KB" if size % 1024 == 0 else f"{size} B"


def case_name(case, frames):
    kind = f"SSE, {frames} frames" if case.kind == "stream" else f"chat, {size_name(case.body)}"
    plural = "s" if case.connections > 1 else ""
    what = "stream" if case.kind == "stream" else "connection"
    return f"{kind}, {case.connections} {what}{plural}{', TLS' if case.tls else ''}"


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def figures(result, case, most_foreign=1):
    """What one measurement says; times in microseconds. `most_foreign`: the share of the CPUs that others may have."""
    stream = case.kind == "stream"
    units = result["frames"] if stream else result["requests"]
    # Nothing began and ended within the window: long streams. Then there is no latency to tell.
    percentile = lambda histogram, name: result[histogram][name] if result[histogram]["count"] else None
    row = {"per_s": result["frames_per_s"] if stream else result["requests_per_s"],
           "p50_us": percentile("latency_us", "p50"), "p99_us": percentile("latency_us", "p99"),
           "errors": result["error_count"], "example": result["example"],
           "foreign_share": result.get("foreign_share", 0.0), "kernel_enters": result.get("kernel_enters")}
    row["disturbed"] = row["foreign_share"] > most_foreign
    if stream:
        row |= {"ttft_us": percentile("ttft_us", "p50"), "gap_p99_us": percentile("frame_gap_us", "p99")}
    if "watched" in result:
        row |= {"cpu_us": result["watched"]["cpu_s"] * 1e6 / max(1, units), "pss_kib": result["watched"]["pss_kib"]}
    return row


def added(one, name, key):
    """What `name` adds to no proxy at all, in one round; None where either has no figure."""
    values = [one[who].get(key) for who in (name, "direct")]
    return None if None in values else values[0] - values[1]


def summarise(case, rounds):
    """`rounds`: [{target: figures}] -> {target: medians, with ratios to the others}."""
    summary = {}
    rivals = [name for name in rounds[0] if "cpu_us" in rounds[0][name]]
    for name in rounds[0]:
        of = [one[name] for one in rounds]
        row = {key: median([figure.get(key) for figure in of]) for key in
               ("per_s", "p50_us", "p99_us", "ttft_us", "gap_p99_us", "cpu_us", "pss_kib", "kernel_enters")}
        row["kernel_enters_spread"] = spread_of([figure["kernel_enters"] for figure in of])
        row["errors"] = sum(figure["errors"] for figure in of)
        row["example"] = next((figure["example"] for figure in of if figure["example"]), "")
        row["disturbed"] = sum(figure["disturbed"] for figure in of)
        row["ratio"] = {}  # field -> rival -> Ratio
        if row["cpu_us"] is not None:
            row["cpu_spread"] = spread_of([figure["cpu_us"] for figure in of])
            row["ratio"]["cpu_us"] = {rival: ratio_of([(one[name]["cpu_us"], one[rival]["cpu_us"]) for one in rounds])
                                      for rival in rivals if rival != name}
        if name != "direct" and "direct" in rounds[0]:
            for key in ("p50_us", "p99_us") + (("ttft_us",) if case.kind == "stream" else ()):
                row[f"added_{key}"] = median([added(one, name, key) for one in rounds])
                row["ratio"][f"added_{key}"] = {
                    rival: ratio_of([(added(one, name, key), added(one, rival, key)) for one in rounds])
                    for rival in rivals if rival != name}
        summary[name] = row
    return summary


def case_table(case, summary, frames, rounds, seconds):
    stream = case.kind == "stream"
    number = lambda value, digits=0: "-" if value is None else f"{value:,.{digits}f}"
    rows = [["", "frames/s" if stream else "req/s", "TTFT µs" if stream else "p50 µs",
             "gap p99" if stream else "p99 µs", "added", "added p99", "CPU µs/frame" if stream else "CPU µs/req",
             "÷ relay", "÷ nginx", "÷ haproxy", "enters", "memory KiB"]]
    for name, row in summary.items():
        def ratio(rival):
            found = row["ratio"].get("cpu_us", {}).get(rival)
            return number(found and found.median, 2) + mark(found and found.spread)
        errors = f" ({row['errors']} ERRORS)" if row["errors"] else ""
        rows.append([name + errors + (" !" if row["disturbed"] else ""), number(row["per_s"]),
                     number(row["ttft_us"] if stream else row["p50_us"]),
                     number(row["gap_p99_us"] if stream else row["p99_us"]),
                     number(row.get("added_ttft_us" if stream else "added_p50_us")), number(row.get("added_p99_us")),
                     number(row.get("cpu_us"), 2) + mark(row.get("cpu_spread")), ratio("relay"), ratio("nginx"),
                     ratio("haproxy"), number(row["kernel_enters"], 2), number(row.get("pss_kib"))])
    head = f"\n{case_name(case, frames)}   (medians of {rounds} rounds of {seconds:g} s)"
    return head + "\n" + table(rows)


def musts(results, memory):
    """The targets that this run can judge: [Must]."""
    by_case = {(case.kind, case.tls, case.body, case.connections): summary for case, summary in results}
    judged = []
    for case, field, rival, bound, what in MUSTS:
        summary = by_case.get(case, {})
        found = summary.get("weir", {}).get("ratio", {}).get(field, {}).get(rival)
        if found:  # else one of them took no part, or the rival added nothing that could be measured
            judged.append(Must(what, found.median, bound, found.median <= bound, found.spread))
    enters = by_case.get(ENTERS_CASE, {}).get("weir", {}).get("kernel_enters")
    if enters is not None:
        judged.append(Must(MUST_ENTERS, enters, MOST_ENTERS, enters <= MOST_ENTERS,
                           by_case[ENTERS_CASE]["weir"]["kernel_enters_spread"]))
    if "weir" in memory:
        judged.append(Must(MUST_IDLE, memory["weir"]["rest"], IDLE_KIB, memory["weir"]["rest"] <= IDLE_KIB, 0.0))
    return judged


def musts_table(judged):
    digits = lambda must: 3 if must.must < 0.1 else 2
    rows = [["", "found", "spread", "must", ""]]
    rows += [[must.what, f"{must.found:,.{digits(must)}f}", f"{must.spread:.0%}{mark(must.spread)}",
              f"{must.must:,.{digits(must)}f}", "met" if must.met else "MISSED"] for must in judged]
    return table(rows)


def first_line(command):
    with contextlib.suppress(OSError, IndexError):
        done = subprocess.run(command, capture_output=True, text=True)
        return (done.stdout + done.stderr).splitlines()[0]
    return "?"


def machine(root, programs):
    model = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith(("model name", "CPU part"))), platform.machine())
    about = {"kernel": platform.release(), "cpu": model, "cpus": os.cpu_count(), "load_average": os.getloadavg()[0],
             "commit": first_line(["git", "-C", str(root), "describe", "--always", "--dirty"])}
    return about | {name: first_line(command) for name, command in programs.items()}
