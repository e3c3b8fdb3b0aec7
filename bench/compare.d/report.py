"""Medians, ratios and tables out of the rounds."""
import contextlib
import os
import pathlib
import platform
import statistics
import subprocess

# Both sides of a ratio come from the same round; rows that scatter by more than this decide nothing.
NOISY = 0.10

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


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def spread_of(values):
    return (max(values) - min(values)) / statistics.median(values) if values and statistics.median(values) else 0


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


def figures(result, case):
    """What one measurement says; times in microseconds."""
    stream = case.kind == "stream"
    units = result["frames"] if stream else result["requests"]
    # Nothing began and ended within the window: long streams. Then there is no latency to tell.
    percentile = lambda histogram, name: result[histogram][name] if result[histogram]["count"] else None
    row = {"per_s": result["frames_per_s"] if stream else result["requests_per_s"],
           "p50_us": percentile("latency_us", "p50"), "p99_us": percentile("latency_us", "p99"),
           "errors": result["error_count"], "example": result["example"]}
    if stream:
        row |= {"ttft_us": percentile("ttft_us", "p50"), "gap_p99_us": percentile("frame_gap_us", "p99")}
    if "watched" in result:
        row |= {"cpu_us": result["watched"]["cpu_s"] * 1e6 / max(1, units), "pss_kib": result["watched"]["pss_kib"]}
    return row


def summarise(case, rounds):
    """`rounds`: [{target: figures}] -> {target: medians, with ratios to the others}."""
    summary = {}
    for name in rounds[0]:
        of = [one[name] for one in rounds]
        row = {key: median([figure.get(key) for figure in of]) for key in
               ("per_s", "p50_us", "p99_us", "ttft_us", "gap_p99_us", "cpu_us", "pss_kib")}
        row["errors"] = sum(figure["errors"] for figure in of)
        row["example"] = next((figure["example"] for figure in of if figure["example"]), "")
        if row["cpu_us"] is not None:
            row["cpu_spread"] = spread_of([figure["cpu_us"] for figure in of])
            row["cpu_ratio"] = {rival: median([one[name]["cpu_us"] / one[rival]["cpu_us"] for one in rounds])
                                for rival in rounds[0] if rival != name and "cpu_us" in rounds[0][rival]}
        if name != "direct" and "direct" in rounds[0]:
            for key in ("p50_us", "p99_us") + (("ttft_us",) if case.kind == "stream" else ()):
                row[f"added_{key}"] = median([one[name][key] - one["direct"][key] for one in rounds
                                              if one[name][key] is not None and one["direct"][key] is not None])
        summary[name] = row
    return summary


def case_table(case, summary, frames, rounds, seconds):
    stream = case.kind == "stream"
    number = lambda value, digits=0: "-" if value is None else f"{value:,.{digits}f}"
    rows = [["", "frames/s" if stream else "req/s", "TTFT µs" if stream else "p50 µs",
             "gap p99" if stream else "p99 µs", "added", "added p99", "CPU µs/frame" if stream else "CPU µs/req",
             "÷ relay", "÷ nginx", "÷ haproxy", "memory KiB"]]
    for name, row in summary.items():
        ratio = lambda rival: number(row.get("cpu_ratio", {}).get(rival), 2)
        noisy = " ~" if row.get("cpu_spread", 0) >= NOISY else ""
        rows.append([name + (f" ({row['errors']} ERRORS)" if row["errors"] else ""), number(row["per_s"]),
                     number(row["ttft_us"] if stream else row["p50_us"]),
                     number(row["gap_p99_us"] if stream else row["p99_us"]),
                     number(row.get("added_ttft_us" if stream else "added_p50_us")), number(row.get("added_p99_us")),
                     number(row.get("cpu_us"), 2) + noisy, ratio("relay"), ratio("nginx"), ratio("haproxy"),
                     number(row.get("pss_kib"))])
    head = f"\n{case_name(case, frames)}   (medians of {rounds} rounds of {seconds:g} s; ~ = spread of 10 % or more)"
    return head + "\n" + table(rows)


def musts(results, memory):
    """The targets that this run can judge: [(what, value, bound, met)]."""
    by_case = {(case.kind, case.tls, case.body, case.connections): summary for case, summary in results}
    judged = []
    for case, field, rival, bound, what in MUSTS:
        summary = by_case.get(case, {})
        if "weir" not in summary or rival not in summary or summary[rival].get(field) is None:
            continue
        if field == "cpu_us":
            value = summary["weir"]["cpu_ratio"][rival]
        elif summary[rival][field] > 0 and summary["weir"].get(field) is not None:
            value = summary["weir"][field] / summary[rival][field]
        else:
            continue  # the rival added nothing that could be measured
        judged.append((what, value, bound, value <= bound))
    if "weir" in memory:
        judged.append((MUST_IDLE, memory["weir"]["rest"], IDLE_KIB, memory["weir"]["rest"] <= IDLE_KIB))
    return judged


def musts_table(judged):
    rows = [["", "found", "must", ""]]
    rows += [[what, f"{value:.3f}" if bound < 0.1 else f"{value:,.2f}", f"{bound:.3f}" if bound < 0.1 else f"{bound:,.2f}",
              "met" if met else "MISSED"] for what, value, bound, met in judged]
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
