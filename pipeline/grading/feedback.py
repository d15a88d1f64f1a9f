"""The page that a student receives: answers, output, verdicts and points, as plain HTML.

Everything that comes from a student or from its program is escaped text. The page has no script,
loads nothing, and its links stay within it; a browser is told to accept nothing else.
"""

from html import escape

from pipeline.grading.submissions import Answer, Submission

STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; }
pre { background: #f4f4f4; padding: .7em; overflow-x: auto; white-space: pre-wrap; }
.right { color: #0b6623; } .wrong { color: #9b1c1c; }
@media (prefers-color-scheme: dark) {
  body { background: #1b1b1b; color: #e6e6e6; } pre { background: #2a2a2a; }
  .right { color: #7ddc8c; } .wrong { color: #ff9c9c; }
}
"""
NOTHING_ELSE = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(submission: Submission, title: str, marks: list[tuple[Answer, str, float, float]]) -> str:
    """Return the page of a submission.

    `title`: of the chapter; `marks`: each answer with its verdict, its points and those of a right
    answer.
    """
    total, worth = sum(mark[2] for mark in marks), sum(mark[3] for mark in marks)
    heading = f"{title}: {submission.student}"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{NOTHING_ELSE}">',
        f"<title>{escape(heading)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(heading)}</h1>",
        f"<p>{total:g} of {worth:g} points</p>",
    ]
    if submission.remarks:
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in submission.remarks)
        parts.append(f"<h2>Remarks of the grader</h2><ul>{remarks}</ul>")
    for answer, verdict, points, of in marks:
        parts.append(_exercise(answer, verdict, points, of))
    return "\n".join([*parts, "</body></html>", ""])


def _exercise(answer: Answer, verdict: str, points: float, of: float) -> str:
    name = answer.exercise.name or answer.exercise.label
    by_hand = answer.status == "in words"
    told = f"up to {of:g} points, given by hand" if by_hand else f"{points:g} of {of:g} points"
    parts = [f"<h2>{escape(name)}: {told}</h2>", f"<pre>{escape(answer.source)}</pre>"]
    if answer.outcome and answer.outcome.printed:
        parts.append(f"<p>It printed:</p><pre>{escape(answer.outcome.printed)}</pre>")
    if verdict:
        kind = "right" if answer.outcome and answer.outcome.status == "right" else "wrong"
        parts.append(f'<p class="{kind}">{escape(verdict)}</p>')
    return "\n".join(parts)
