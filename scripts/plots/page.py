"""One HTML page of everything, which needs no other file and no network."""

import html
import json
import os

from plots import style, tables
from plots.figures import FIGURES, Skip, make
from plots.inline_svg import inline
from plots.samples import setting_text

STYLE_SHEET = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                           "page.css")

TABLES = (
    ("Results", "Medians of the samples, with minimum and maximum in "
     "parentheses. Speed-up and efficiency are those of the FLOP/s, against "
     "the same setting on the fewest ranks; GFLOP/s those of the attend "
     "phase.", tables.results),
    ("Phases", "Medians; a phase is the slowest rank's, kernels (with merging) "
     "and waiting are means over ranks. Overlap: share of the transfers' time "
     "that was not waited for. Imbalance: most over mean of the kernels' "
     "time.",
     tables.phases),
    ("Traffic and memory", "Planned memory; a token's is that of all ranks.",
     tables.memory),
)


def element(name, text, **attributes):
    pairs = "".join(f' {key.rstrip("_")}="{html.escape(value)}"'
                    for key, value in attributes.items())
    return f"<{name}{pairs}>{html.escape(str(text))}</{name}>"


def table(headings, rows, kind=""):
    head = "".join(element("th", text, scope="col") for text in headings)
    body = "\n".join(
        "<tr>" + element("th", row[0], scope="row")
        + "".join(element("td", text) for text in row[1:]) + "</tr>"
        for row in rows)
    return (f'<div class="table {kind}" tabindex="0"><table>\n<thead><tr>{head}'
            f"</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>")


def drawn(points):
    """The figures as HTML, and [(name, reason)] of those that are not."""
    parts, skipped = [], []
    for name, (title, what, _) in FIGURES.items():
        try:
            figure = make(name, points)
        except Skip as reason:
            skipped.append((name, str(reason)))
            continue
        parts.append(f'<figure id="{name}"><figcaption>'
                     + element("h3", title) + element("p", what)
                     + f"</figcaption>\n{inline(figure, name, title)}"
                     "</figure>")
        style.close(figure)
    return parts, skipped


def environment(summaries, points):
    """[(what, value)]: from the summaries, then from the samples."""
    lines = []
    for what, key in (("version", "version"), ("CPU", "cpu"),
                      ("BLAS", "blas"), ("ranks of the job", "ranks")):
        values = dict.fromkeys(str(summary[key]) for summary in summaries
                               if summary.get(key) is not None)
        if values:
            lines.append((what, "; ".join(values)))
    for what, name in (("ranks of the points", "ranks"), ("nodes", "nodes"),
                       ("threads of a rank", "threads"),
                       ("kernel", "kernel"), ("dtype", "dtype"),
                       ("mask", "mask"), ("layout", "layout")):
        values = {getattr(point, name) for point in points} - {None}
        if values:
            lines.append((what, ", ".join(map(str, sorted(values)))))
    return lines


def refused(summaries):
    """Rows of the points that could not run."""
    return [[", ".join(setting_text(name, str(value))
                       for name, value in point.get("set", {}).items()),
             point["refused"]]
            for summary in summaries for point in summary.get("points", ())
            if point.get("refused")]


def configs(summaries):
    for summary in summaries:
        if "config" in summary:
            yield ("<details><summary>Config</summary>\n" + element(
                "pre", json.dumps(summary["config"], indent=2,
                                  ensure_ascii=False)) + "</details>")


def page(title, points, summaries):
    figures, skipped = drawn(points)
    samples = sum(point.repeats for point in points)
    body = [element("h1", title),
            element("p", f"{len(points):,} points, {samples:,} samples",
                    class_="muted"),
            element("h2", "Environment"), "<dl>"]
    body += [element("dt", what) + element("dd", value)
             for what, value in environment(summaries, points)]
    body += ["</dl>", *configs(summaries), element("h2", "Figures"),
             '<div class="figures">', *figures, "</div>"]
    if skipped:
        body += [element("p", f"Not drawn: {FIGURES[name][0]}: {reason}.",
                         class_="muted")
                 for name, reason in skipped]
    for heading, what, rows_of in TABLES:
        body += [element("h2", heading), element("p", what, class_="muted"),
                 table(*rows_of(points))]
    rows = refused(summaries)
    if rows:
        body += [element("h2", "Points that could not run"),
                 table(["setting", "reason"], rows, "words")]
    with open(STYLE_SHEET, encoding="utf-8") as file:
        sheet = file.read()
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        element("title", title), f"<style>\n{sheet}</style>", "</head>",
        "<body>", *body, "</body>", "</html>", ""]), skipped
