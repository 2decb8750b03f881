"""The report as a table for a terminal."""

import statistics
import textwrap

WIDTH = 80


def wrapped(text, indent="  "):
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent,
                         break_on_hyphens=False)


def plural(count, noun):
    return f"{count} {noun}" + ("" if count == 1 else "s")


def table_head(report):
    of, on = report["problem"], report["machine"]
    lines = wrapped(
        f"attention of q, k, v: N {of['length']}, H {of['heads']}, "
        f"H_kv {of['kv_heads']}, {of['dtype']}, "
        f"{plural(of['threads'], 'thread')}; medians of "
        f"{plural(of['repeats'], 'round')}, ratios within a round")
    lines += wrapped(f"{on['cpu']}, {plural(on['cores'], 'core')}")
    if of["dtype"] == "bf16":
        lines += wrapped("q, k and v are rounded to bf16; \", fp32\" computes "
                         "on them as fp32; PyTorch rounds its output, too")
    if on["openblas_coretype"] is not None:
        lines += wrapped("OPENBLAS_CORETYPE is set: "
                         f"{on['openblas_coretype']}")
    return lines


def short(value):
    """At least three digits, in at most five places up to 99999."""
    places = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{places}f}"


def times(name, sec, flops):
    digits = 1 if sec >= 0.01 else 3
    return (f"{name[:26]:<26} {sec * 1e3:8.{digits}f} "
            f"{flops / sec * 1e-9:8.1f}")


def table_row(result, case, dtype):
    name = result["label"]
    if result["dtype"] != dtype:
        name += f", {result['dtype']}"
    ratio = result.get("time_over_attnspan")
    ratios = ("-" if ratio is None else short(ratio[what])
              for what in ("median", "min", "max"))
    return (times(name, result["sec"]["median"], case["flops"])
            + " {:>6} {:>5} {:>5}".format(*ratios)
            + f" {result['max_error_over_rms']:7.1e}"
            f" {result['rms_error_over_rms']:7.1e}")


def table_case(case, dtype):
    lines = ["", f"{case['name']:<27} {'time':>7} {'':>8} "
             f"{'time / attnspan':>18} {'error / RMS(y)':>15}",
             f"{'':<27} {'ms':>7} {'GFLOP/s':>8} {'median':>6} {'min':>5} "
             f"{'max':>5} {'max':>7} {'RMS':>7}"]
    for name, result in case["peers"].items():
        lines.append(table_row(result, case, dtype))
        if name == "attnspan":
            attend = statistics.median(
                sample["attend_sec"] for sample in result["samples"])
            lines.append(times("  its attend phase alone", attend,
                               case["flops"]))
    return lines


def table(report):
    lines = table_head(report)
    for case in report["cases"]:
        lines += table_case(case, report["problem"]["dtype"])
    used = [f"{name} {peer['version']}"
            + (f" ({peer['detail']})" if peer["detail"] else "")
            for name, peer in report["peers"].items()]
    lines += ["", *wrapped("used: " + ", ".join(used))]
    if report["cases"]:
        checked = report["cases"][0]["rows_checked"]
        lines += wrapped(f"errors: against fp64, {checked} of "
                         f"{report['problem']['length']} rows of each head")
    for item in report["skipped"]:
        partly = 0 < len(item["cases"]) < len(report["cases"])
        where = f" ({'; '.join(item['cases'])})" if partly else ""
        lines += wrapped(f"skipped: {item['who']}{where}: {item['reason']}")
    return "\n".join(lines)
