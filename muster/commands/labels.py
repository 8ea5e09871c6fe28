"""`muster labels`: how the labelling functions of a workspace do, and what people say themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from components.workspace import open_workspace
from components.workspace.errors import InputError
from muster.console import Json, emit_json, emit_line, emit_table, say

app = typer.Typer(no_args_is_help=True, help="Labels: what labelling functions and people say, and how far to trust it.")

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]
_HARDEST = 5
By = Annotated[str, typer.Option("--by", help="name of the person who answers")]


@app.command()
def report(
    workspace: WorkspacePath = Path(),
    task: Annotated[str | None, typer.Option("--task", help="only this task")] = None,
    html: Annotated[bool, typer.Option("--html", help="print where the page with the plots is, and nothing else")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="write all this as a page with plots to a file")] = None,
    json: Json = False,
) -> None:
    """What each labelling function does, how right it seems, what changed, and which windows need a person."""
    from components.labeling.report import change_since_last, export_page, read_report
    from components.labeling.report.numbers import NUMBER_COLUMNS, number_rows

    opened = open_workspace(workspace)
    folder = opened.out / "label"
    value = read_report(folder, task)
    page = out or folder / "report.html"
    for one in value["tasks"]:
        one["change"] = change_since_last(opened, one["task"])
    if out:
        export_page(opened, value, out)
    if html:
        emit_line(str(page))
        return
    if json:
        emit_json("labels-report", value)
        return
    for one in value["tasks"]:
        _show(one)
    if value["numbers"]:
        emit_table("Declared numbers", NUMBER_COLUMNS, number_rows(value))
    if not value["tasks"] and not value["numbers"]:
        emit_line("no task of this workspace wants labels")
    say(f"plots, and the windows most worth labelling drawn: {page}")


@app.command()
def annotate(
    workspace: WorkspacePath = Path(),
    task: Annotated[str | None, typer.Option("--task", help="which task; may be left out when only one has labels")] = None,
    by: By = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="port on 127.0.0.1; 0 takes a free one")] = 0,
    count: Annotated[int, typer.Option("--count", min=1, help="windows in this round")] = 100,
    terminal: Annotated[bool, typer.Option("--terminal", help="ask here, in text, instead of in a browser")] = False,
) -> None:
    """Label windows by hand, those most worth it first; answers are kept at once."""
    from components.labeling.people.annotate import open_session

    session = open_session(open_workspace(workspace), task, by.strip() or _user(), count)
    try:
        if terminal:
            from components.labeling.people.annotate.terminal import run

            run(session, input, say)
        else:
            from components.labeling.people.annotate.web import serve

            serve(session, port, _announce)
    except (KeyboardInterrupt, EOFError):
        say("")
    say(f"{session.answered()} answers of {session.by} kept in {session.file.path}; muster step label learns from them")


@app.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="CSV to write")],
    workspace: WorkspacePath = Path(),
    json: Json = False,
) -> None:
    """Write all annotations to a CSV file."""
    from components.labeling.people.transfer import export_annotations

    written = export_annotations(open_workspace(workspace), file)
    if json:
        emit_json("labels-export", {"file": str(file), "annotations": written})
    else:
        emit_line(f"wrote {written:,} annotations to {file}")


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV with device_id, start, end, task, value, mostly by and at, and perhaps drawn")
    ],
    workspace: WorkspacePath = Path(),
    by: By = "",
    json: Json = False,
) -> None:
    """Add annotations of another tool: all of them, or with an error none. The same file twice adds nothing new."""
    from components.labeling.people.transfer import import_annotations

    added, stood = import_annotations(open_workspace(workspace), file, by.strip())
    if json:
        emit_json("labels-import", {"file": str(file), "added": added, "unchanged": stood})
    else:
        emit_line(f"added {added:,} annotations; {stood:,} stood already")


@app.command()
def combine(
    file: Annotated[Path, typer.Argument(help="votes: .csv or .parquet with a column a function, or .npz with 'votes'")],
    classes: Annotated[str, typer.Option("--classes", help="names of the classes in the order of their numbers, by commas")],
    shares: Annotated[str, typer.Option("--shares", help="how frequent the classes are, by commas, where that is known")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="write a row a window: probabilities, covered, decided")] = None,
    random_gold: Annotated[
        bool, typer.Option("--random-gold", help="windows with gold were drawn at random: they tell class shares too")
    ] = False,
    json: Json = False,
) -> None:
    """Probabilities from votes that were cast elsewhere; no workspace needed."""
    from components.labeling.elsewhere import combine as combine_votes

    rows, facts = combine_votes(file, _names(classes), _numbers(shares), out, random_gold=random_gold)
    counts = {name: int((rows["decided"] == name).sum()) for name in _names(classes)}
    if json:
        emit_json("labels-combine", facts | {"windows": len(rows), "covered": int(rows["covered"].sum()), "decided": counts})
        return
    emit_line(f"{len(rows):,} windows, {rows['covered'].mean():.1%} covered; {facts['chosen']}, shares {facts['shares_from']}")
    emit_table(
        "Classes", ("class", "share", "decided"), [(c, f"{facts['class_shares'][c]:.2%}", f"{counts[c]:,}") for c in counts]
    )
    functions = [(f["name"], f["weight"], *(_three(f[key]) for key in ("precision", "recall"))) for f in facts["functions"]]
    emit_table("Labelling functions (95 % intervals)", ("function", "weight", "precision", "recall"), functions)
    for note in facts["notes"]:
        say(f"look at this: {note}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(",")) if text else ()
    except ValueError:
        raise InputError(f"--shares {text}: no numbers", hint="write them like 0.95,0.05") from None


def _three(estimates: dict[str, list[float]]) -> str:
    return "; ".join(f"{c} {value:.2f} ({low:.2f}-{high:.2f})" for c, (value, low, high) in estimates.items())


def _show(task: dict[str, Any]) -> None:
    from components.labeling.report.page import (
        CHANGE_COLUMNS,
        FUNCTION_COLUMNS,
        RIGHT_COLUMNS,
        change_rows,
        class_rows,
        function_rows,
        hard_rows,
        model_rows,
        people_rows,
        people_title,
        right_rows,
    )

    emit_line(f"{task['task']} ({task['source']}): coverage {task['coverage']:.1%}, "
              f"overlap {task['overlap']:.1%}, conflict {task['conflict']:.1%}")  # fmt: skip
    emit_table("Where the probabilities come from", ("what", "value"), model_rows(task))
    emit_table("Mean probability", ("class", "share"), [(name, f"{share:.1%}") for name, share in class_rows(task)])
    if people := people_rows(task):
        emit_table(people_title(task), ("class", "share"), people)
    if task["functions"]:
        rows = [[c if isinstance(c, str) else f"{c:.2%}" for c in row] for row in function_rows(task)]
        emit_table("Labelling functions", FUNCTION_COLUMNS, rows)
    if right := right_rows(task):
        emit_table("How often they are right (95 % intervals)", RIGHT_COLUMNS, right)
    if task["change"]:
        since, changed = f"than in the labels of {task['change']['since']}", change_rows(task["change"]["changes"])
        if changed:
            emit_table(f"Fire otherwise {since}", CHANGE_COLUMNS, changed)
        else:
            emit_line(f"no function fires otherwise {since}, as far as devices can tell")
    emit_table("Most worth labelling: muster labels annotate", ("device", "start", "worth", "votes"), hard_rows(task)[:_HARDEST])
    for warning in task["warnings"]:
        say(f"look at this: {warning}")


def _announce(url: str) -> None:
    emit_line(url)
    sys.stdout.flush()
    say("open this address in a browser on this machine; Ctrl-C ends, every answer is kept at once")


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise InputError("who answers is not known", hint="name the person with --by") from None
