"""The command line: ``python -m core analyze | measure | identify | recipes | train | runs``.

Exit status 0: done. 2: the input is at fault, with one line ``error: …`` on standard error that
says what is wrong and what to do. Progress goes to standard error, ``--json -`` to standard output.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from core.errors import Cancelled, UserError
from core.request import AnalysisRequest
from core.results import FAMILIES, Analysis, Settings


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m core", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    analyze = commands.add_parser("analyze", help="every layer of a checkpoint on a data set")
    analyze.add_argument("checkpoint")
    analyze.add_argument(
        "--data",
        help="digits, cifar10, FILE.zip, FOLDER or FILE.npz; with @CORRUPTION-SEVERITY after it, "
        "such as cifar10@gaussian_noise-3, corrupted; for a text transformer a text file, one "
        "sentence or label<TAB>sentence a line, or an .npz of token ids",
    )
    analyze.add_argument("--architecture", default="auto", metavar="auto|NAME")
    analyze.add_argument("--model", metavar="FILE.py:FUNCTION", help="your own constructor")
    analyze.add_argument("--layers", default="auto", metavar="auto|all|NAME,…")
    analyze.add_argument("--features", default="default", choices=("default", "pooled", "flat"))
    analyze.add_argument("--max-images", type=_positive)
    analyze.add_argument("--max-tokens", type=_positive, help="of a text (128)")
    analyze.add_argument("--batch-size", type=_positive)
    analyze.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    _measuring(analyze)
    analyze.add_argument("--csv", metavar="OUT.csv")
    analyze.add_argument("--html", metavar="OUT.html")

    measure = commands.add_parser("measure", help="the features of a file")
    measure.add_argument("features", metavar="FEATURES.npz")
    _measuring(measure)

    identify = commands.add_parser("identify", help="which architecture a checkpoint is of")
    identify.add_argument("checkpoint")
    identify.add_argument("--json", metavar="OUT.json")

    commands.add_parser("recipes", help="what can be trained here")

    train = commands.add_parser("train", help="train a recipe into a run folder")
    train.add_argument("recipe")
    train.add_argument("--data", help="instead of the recipe's; a fifth is held out for testing")
    train.add_argument("--epochs", type=_positive)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--out", required=True, metavar="RUN_FOLDER")

    runs = commands.add_parser("runs", help="the runs that the app shows")
    runs.add_argument("--json", metavar="OUT.json")
    return parser


def _measuring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metrics", default="", metavar="all|NAME,…", help=", ".join(FAMILIES))
    parser.add_argument("--max-dim", type=int, default=1, choices=(1, 2))
    parser.add_argument(
        "--points", type=_positive, help="landmarks of topology (400; 200 with --max-dim 2)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="OUT.json")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _metrics(text: str) -> tuple[str, ...]:
    if text in ("", "default"):
        return Settings().metrics
    names = FAMILIES if text == "all" else tuple(n.strip() for n in text.split(",") if n.strip())
    unknown = [n for n in names if n not in FAMILIES]
    if unknown:
        raise UserError(f"there is no metric family {unknown[0]}; choose of {', '.join(FAMILIES)}")
    return names


def _settings(arguments: argparse.Namespace) -> Settings:
    given = vars(arguments)
    names = ("architecture", "layers", "features", "max_images", "batch_size", "device")
    chosen = {n: given[n] for n in names if arguments.command == "analyze"}
    return Settings(
        metrics=_metrics(arguments.metrics),
        seed=arguments.seed,
        max_dim=arguments.max_dim,
        landmarks=arguments.points,
        **chosen,
    )


class _Progress:
    """One line on standard error, rewritten in a terminal and kept short in a log."""

    def __init__(self) -> None:
        self.last = ""
        self.stages: set[str] = set()

    def __call__(self, done: int, total: int, what: str) -> None:
        line = f"{100 * done // max(1, total):3d} %  {what}"
        if line == self.last:
            return
        self.last = line
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
            return
        stage = what.partition(",")[0]
        if done == total or stage not in self.stages:
            self.stages.add(stage)
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _write(path: str, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; give another place") from error


def _analyze(arguments: argparse.Namespace) -> None:
    from core import report
    from core.analysis import analyze
    from core.checkpoints.hugging_face import is_text_model
    from core.language.request import MAX_TOKENS, TextRequest

    request = AnalysisRequest(
        checkpoint=arguments.checkpoint,
        data=arguments.data,
        model=arguments.model,
        settings=_settings(arguments),
    )
    progress = _Progress()
    weights = request.settings.architecture == "weights"
    if request.data is not None and not weights and is_text_model(request.checkpoint):
        from core.language import analysis as language

        asked = TextRequest.of(request, arguments.max_tokens or MAX_TOKENS)
        analysis = language.analyze(asked, progress=progress)
    else:
        analysis = analyze(request, progress=progress)
    progress.end()
    if arguments.json:
        _write(arguments.json, report.dump(report.analysis_json(analysis)))
    if arguments.csv:
        _write(arguments.csv, report.layers_csv(analysis))
    if arguments.html:
        from core.report_html import html

        _write(arguments.html, html(analysis))
    if arguments.json != "-":
        print(_summary(analysis))


def _measure(arguments: argparse.Namespace) -> None:
    from core import report
    from core.feature_analysis import measure

    progress = _Progress()
    analysis = measure(Path(arguments.features), _settings(arguments), progress=progress)
    progress.end()
    tree = report.measures_json(analysis)
    if arguments.json:
        _write(arguments.json, report.dump(tree))
    if arguments.json != "-":
        print(_summary(analysis))


def _identify(arguments: argparse.Namespace) -> None:
    from core import report
    from core.analysis import identification

    tree = report.plain(asdict(identification(Path(arguments.checkpoint))))
    if arguments.json:
        _write(arguments.json, report.dump(tree))
    if arguments.json != "-":
        print(f"{tree['architecture'] or 'unknown'}: {tree['parameters']:,} parameters, ", end="")
        classes = "" if tree["classes"] is None else f"{tree['classes']} classes, "
        print(f"{classes}matched by {tree['match']}")
        for warning in tree["warnings"]:
            print(f"note: {warning}")


def _recipes(_: argparse.Namespace) -> None:
    from core.training.recipes import RECIPES

    width = max(map(len, RECIPES))
    for recipe in RECIPES.values():
        after = f", after {recipe.start}" if recipe.start else ""
        print(f"{recipe.name:{width}}  {recipe.title}, {recipe.epochs} epochs{after}")


def _train(arguments: argparse.Namespace) -> None:
    from core.training.loop import train
    from core.training.recipes import find_recipe

    progress = _Progress()
    asked_to_stop = threading.Event()
    # the epoch under way is finished and the state kept, so that the same command goes on
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: object) -> None:
        asked_to_stop.set()
        signal.signal(signal.SIGINT, before)  # a second Ctrl-C does not wait for the epoch

    signal.signal(signal.SIGINT, stop)
    try:
        run = train(
            find_recipe(arguments.recipe),
            Path(arguments.out),
            data=arguments.data,
            epochs=arguments.epochs,
            seed=arguments.seed,
            progress=progress,
            cancelled=asked_to_stop.is_set,
        )
    except Cancelled:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        progress.end()
    print(f"{run.folder}: {len(run.checkpoints)} checkpoints")


def _runs(arguments: argparse.Namespace) -> None:
    from core import report
    from core.run_table import lines, run_table

    table = run_table()
    if arguments.json:
        _write(arguments.json, report.dump(table))
    if arguments.json != "-":
        print("\n".join(lines(table)))


def _summary(analysis: Analysis) -> str:
    """A few lines for people: what it is, and the headline numbers."""
    checkpoint = analysis.checkpoint
    lines = [
        f"{checkpoint.name}: {checkpoint.architecture or 'unknown architecture'}, "
        f"{checkpoint.parameters:,} parameters"
    ]
    if analysis.data is not None:
        what = "texts" if analysis.mlps else "images"
        lines.append(f"{analysis.data.name}: {analysis.data.images:,} {what}")
    if analysis.accuracy is not None:
        lines.append(f"accuracy {analysis.accuracy:.4f}")
    for mlp in analysis.mlps:
        about = "about " if mlp.approximate else ""
        shares = ", ".join(f"{100 * share:.1f} %" for share in mlp.share)
        lines.append(f"not zero in the MLPs of the {mlp.stack} ({mlp.activation}): {about}{shares}")
    if analysis.penultimate is not None:
        collapse = analysis.penultimate.collapse
        lines += [
            f"{key:20} {value:.4f}"
            if value is not None
            else f"{key:20} n/a: {collapse.reasons.get(key)}"
            for key, value in collapse.values().items()
        ]
        layer = analysis.layer(analysis.penultimate.layer)
        if layer.dimension is not None:
            for key in ("twonn", "mle"):
                e = getattr(layer.dimension.all, key)
                if e.value is not None:
                    lines.append(f"{key:20} {e.value:.2f} [{e.low:.2f}, {e.high:.2f}]")
        if layer.topology is not None:
            lines.append(f"{'betti':20} {layer.topology.all.betti}")
    lines += [f"warning: {w}" for w in analysis.warnings]
    return "\n".join(lines)


COMMANDS: dict[str, Any] = {
    "analyze": _analyze,
    "measure": _measure,
    "identify": _identify,
    "recipes": _recipes,
    "train": _train,
    "runs": _runs,
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    try:
        arguments = _parser().parse_args(argv)
        COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads the output has closed it: nothing more to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Cancelled:
        return 130
    except KeyboardInterrupt:
        print("\ncancelled", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
