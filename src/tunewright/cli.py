"""The door for a person: verbs and their exit codes. Knows every room by name; must not import one before it is asked.

Exit codes: 0 done and, for `run`, gate passed; 2 gate failed or cannot tell; 3 recipe, data or command refused; 130
after Ctrl-C; 143 after SIGTERM; 1 anything else. Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tunewright.recipe.errors import Refusal

if TYPE_CHECKING:
    from tunewright.store.registry import Registry, Version

PASSED, NOT_PASSED, REFUSED = 0, 2, 3
_SETTINGS = {  # of libraries that would else write into the output
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "true",
}


class Door(TyperGroup):
    """All commands, with errors told as a person wants to read them."""

    def main(self, args: Sequence[str] | None = None, **options: Any) -> Any:
        """Run one command line and exit with its code."""
        given = list(sys.argv[1:] if args is None else args)
        _quieten_libraries()
        from tunewright import failure

        run_command, options = super().main, options | {"standalone_mode": False}
        sys.exit(failure.exit_code_of(lambda: run_command(args=given, **options), as_json="--json" in given))


app = typer.Typer(
    cls=Door, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Fine-tune a language model and get the evidence that it is right.",
    epilog="Exit codes: 0 gate passed, 2 gate failed or cannot tell, 3 recipe or data refused, 1 anything else.",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
models = typer.Typer(rich_markup_mode=None, help="List, show, promote, roll back and delete registered models.")
app.add_typer(models, name="models", short_help="List, show, promote, roll back, delete models.")

Json = Annotated[bool, typer.Option("--json", help="Write one JSON object and nothing else.")]
Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", show_default=False, help="The recipe, a YAML file.")]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", show_default=False, help="name@version, name@alias, name, or a folder.")
]
Data = Annotated[
    Path, typer.Argument(metavar="DATA", show_default=False, help="Rows: csv, tsv, jsonl, json, parquet or xlsx.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the recipe; may be given often.")
]
Inputs = Annotated[list[str] | None, typer.Option("--input", metavar="COLUMN", help="The column that the model reads.")]
Outputs = Annotated[list[str] | None, typer.Option("--output", metavar="COLUMN", help="The column that it answers.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]
Alias = Annotated[str, typer.Option("--alias", help="The alias to move.")]


def main() -> None:
    """The entry point of the command `tunewright`."""
    app(prog_name="tunewright")


def _print_version(asked: bool) -> None:
    if asked:
        import tunewright

        typer.echo(f"tunewright {tunewright.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _door(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    _print_help_if_bare(context)


@models.callback(invoke_without_command=True)
def _models_door(context: typer.Context) -> None:
    _print_help_if_bare(context)


def _print_help_if_bare(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def init(
    data: Data,
    into: Annotated[
        Path, typer.Option("--recipe", "-r", metavar="FILE", help="Where to write the recipe.")
    ] = Path("recipe.yaml"),
    base: Annotated[
        str | None, typer.Option("--base", help="Bundled name, hub id or folder; by default one that fits the task.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="The kind of task, where the data could be read in several ways.")
    ] = None,
    inputs: Inputs = None,
    outputs: Outputs = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
) -> int:
    """Look at a file of rows and write a commented recipe."""
    if into.exists() and not force:
        raise Refusal("The recipe is there already.", where=str(into),
                      remedy="Name another with --recipe, or replace it with --force.")
    with _busy("looking at the rows"):
        from tunewright.pipeline.start import propose_recipe
        from tunewright.store import files

        text = propose_recipe(
            data, base=base, inputs=inputs or (), outputs=outputs or (), kind=kind, folder=into.parent
        )
        files.write_atomically(into, text)
    typer.echo(text)
    typer.echo(f"Written to {into}. Next: tunewright check {into}")
    return PASSED


@app.command()
def check(recipe: Recipe, overrides: Overrides = None, as_json: Json = False) -> int:
    """Say what a run would do and what stands in its way."""
    with _busy("checking"):
        from tunewright.pipeline.check import check as check_recipe

        report = check_recipe(recipe, overrides=overrides or ())
    if as_json:
        _print_json(report.to_json())
    else:
        from tunewright import display

        display.show_check(report)
    return PASSED if report.ok else REFUSED


@app.command()
def run(
    recipe: Recipe,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> int:
    """Train, judge and register a model, or go on with it.

    After an interruption the same command goes on where it stopped. Exit code 0 if the gate passed, 2 if not.
    """
    from tunewright import display, progress

    stderr = display.console_on(sys.stderr)
    with progress.Progress(stderr, shown=stderr.is_terminal and not quiet).watching() as watcher:
        from tunewright.pipeline.fit import Interrupted
        from tunewright.pipeline.run import run as run_recipe

        try:
            result = run_recipe(recipe, overrides=overrides or (), watcher=watcher)
        except Interrupted:
            watcher.note("stopped; the checkpoint is written, and the same command goes on from it")
            assert watcher.stop_signal is not None
            return 128 + watcher.stop_signal
    if as_json:
        judged = result.judged
        _print_json({
            "name": result.name, "id": result.id, "version": result.version, "folder": str(result.folder),
            "report": str(result.report), "outcome": judged.outcome, "passed": judged.passed, "metric": judged.metric,
            "rows": judged.rows, "lines": judged.lines, "figures": judged.figures, "ladder": judged.ladder,
            "seconds": result.seconds,
        })  # fmt: skip
    else:
        display.show_run(result)
    return PASSED if result.passed else NOT_PASSED


@app.command()
def evaluate(model: Model, data: Data, as_json: Json = False) -> int:
    """Judge a model on rows with answers."""
    with _busy("evaluating"):
        from tunewright.pipeline.evaluate import evaluate_model

        evaluation = evaluate_model(model, data)
    if as_json:
        _print_json(evaluation.to_json())
    else:
        from tunewright import display

        display.show_evaluation(evaluation)
    return PASSED


@app.command()
def predict(
    model: Model,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", show_default=False, help="Texts, or - for standard input."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A file of rows, or a .txt file with a text on each line.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Answer texts given here, in a file or on standard input."""
    with _busy("predicting"):
        from tunewright import asking

        answered = asking.answer(model, texts or (), file=file, stdin=sys.stdin)
    if as_json:
        _print_json(answered.to_json())
    else:
        from tunewright import display

        display.show_predictions(answered.texts, answered.predictions)
    return PASSED


@app.command()
def serve(
    names: Annotated[
        list[str], typer.Argument(metavar="MODEL...", show_default=False, help="name@version, name@alias or folder.")
    ],
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0 takes a free one.")] = 8080,
    token_file: Annotated[Path | None, typer.Option("--token-file", help="A file that holds the bearer token.")] = None,
    token_env: Annotated[str | None, typer.Option("--token-env", help="A variable that holds it.")] = None,
) -> int:
    """Serve models on this machine, to whoever has the token."""
    from tunewright import asking

    token, is_new = asking.read_token(token_file, token_env)
    found = asking.find_models(names)
    with _busy("starting"):
        from tunewright.serve.app import serve as serve_models

    def announce(url: str) -> None:
        typer.echo(f"Serving {', '.join(found)} at {url}")
        typer.echo(f"Token    {token}  (shown this once)" if is_new else "Token    as given")
        typer.echo(f"Page     {url}/  (asks for the token)")
        typer.echo("Stop     Ctrl-C")

    serve_models(lambda: asking.load_models(found), token=token, port=port, announce=announce)
    return PASSED


@app.command()
def bases(
    data: Data,
    names: Annotated[list[str], typer.Argument(metavar="BASE...", show_default=False, help="Bases to compare.")],
    inputs: Inputs = None,
    outputs: Outputs = None,
    as_json: Json = False,
) -> int:
    """Rank candidate bases on your own rows."""
    with _busy("ranking bases"):
        from tunewright.pipeline.rank import rank_bases

        ranking = rank_bases(data, names, inputs=inputs or (), outputs=outputs or ())
    if as_json:
        _print_json(ranking.to_json())
    else:
        from tunewright import display

        display.show_ranking(ranking)
    return PASSED if any(base.figure is not None for base in ranking.bases) else REFUSED


@app.command()
def schema() -> int:
    """Print the JSON Schema of a recipe, for editors."""
    from tunewright.pipeline.reference import recipe_json_schema

    _print_json(recipe_json_schema(), indent=2)
    return PASSED


@models.command("list")
def list_models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False, help="Only of this name.")] = None,
    as_json: Json = False,
) -> int:
    """List registered versions."""
    with _registry() as registry:
        versions = registry.versions(name) if registry is not None else []
    if as_json:
        _print_json({"versions": [_version_json(version) for version in versions]})
    elif not versions:
        typer.echo("No model is registered here. Run a recipe first, or point TUNEWRIGHT_HOME to where it was run.")
    else:
        from tunewright import display

        display.show_versions(versions, _metrics_by_task())
    return PASSED


@models.command("show")
def show_model(model: Model, as_json: Json = False) -> int:
    """Show what is known of a version, and its history."""
    from tunewright.pipeline.evaluate import find

    version = find(model)
    with _registry() as registry:
        events = registry.history(version.name) if registry is not None and version.number is not None else []
    if as_json:
        import dataclasses

        _print_json(_version_json(version) | {"history": [dataclasses.asdict(event) for event in events]})
    else:
        from tunewright import display

        display.show_version(version, events, _metrics_by_task())
    return PASSED


@models.command()
def promote(model: Model, alias: Alias = "champion", reason: Reason = "", as_json: Json = False) -> int:
    """Let an alias point to a version; a champion must have passed its gate."""

    def change(registry: Registry) -> Version:
        return registry.promote(*_numbered(registry, model), alias=alias, by=_person(), reason=reason)

    return _move(change, alias, as_json)


@models.command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The model's name.")],
    alias: Alias = "champion",
    reason: Reason = "",
    as_json: Json = False,
) -> int:
    """Let an alias point to the version it pointed to before."""
    return _move(lambda registry: registry.rollback(name, alias, by=_person(), reason=reason), alias, as_json)


@models.command()
def delete(model: Model, reason: Reason = "", as_json: Json = False) -> int:
    """Take a version out of the registry; its folder stays."""
    with _registry() as registry:
        name, number = _numbered(_known(registry, model), model)
        _known(registry, model).delete(name, number, by=_person(), reason=reason)
    if as_json:
        _print_json({"deleted": f"{name}@{number}"})
    else:
        typer.echo(f"{name}@{number} is out of the registry; its folder stays.")
    return PASSED


def _move(change: Callable[[Registry], Version], alias: str, as_json: bool) -> int:
    with _registry() as registry:
        version = change(_known(registry, alias))
    if as_json:
        _print_json(_version_json(version))
    else:
        typer.echo(f"{version.name}@{alias} is {version.reference} now.")
    return PASSED


@contextmanager
def _registry() -> Iterator[Registry | None]:
    """The registry; None, and nothing made, where no model was ever registered."""
    from tunewright.store import files
    from tunewright.store.database import open_database
    from tunewright.store.registry import Registry

    if not os.environ.get("TUNEWRIGHT_DATABASE") and not (files.home() / "tunewright.db").exists():
        yield None
        return
    with open_database() as database:
        yield Registry(database)


def _known(registry: Registry | None, asked: str) -> Registry:
    if registry is None:
        from tunewright.store import files

        raise Refusal("No model is registered here.", where=str(files.home()),
                      remedy="Run a recipe first, or point TUNEWRIGHT_HOME to where it was run.")
    return registry


def _numbered(registry: Registry, model: str) -> tuple[str, int]:
    """Name and number of the version that a reference means. Raises Refusal for a folder that is not registered."""
    version = registry.resolve(model)
    if version.number is None:
        raise Refusal("This folder is not registered, so it has no version.", where=str(version.folder),
                      remedy="Run its recipe, which registers it, and name it as name@version.")
    return version.name, version.number


def _version_json(version: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(version) | {"reference": version.reference, "folder": str(version.folder)}


def _metrics_by_task() -> dict[str, str]:
    from tunewright.recipe.tasks import KINDS

    return {kind: facts.metric for kind, facts in KINDS.items()}


def _person() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this user id, as in some containers
        return str(os.getuid())


def _print_json(value: Any, *, indent: int | None = None) -> None:
    from tunewright.store import files

    typer.echo(files.to_json(value, indent=indent))


@contextmanager
def _busy(doing: str) -> Iterator[None]:
    """Says on a terminal what is being done, until it is."""
    if not sys.stderr.isatty():
        yield
        return
    from tunewright import display

    with display.console_on(sys.stderr).status(doing, spinner="dots", spinner_style="cyan"):
        yield


def _quieten_libraries() -> None:
    """Set what makes libraries write into the output, unless the user set it; before any of them is imported."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("TUNEWRIGHT_DEBUG") and not sys.warnoptions:
        import logging
        import warnings

        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it regrets a kernel that no one asked for
        warnings.simplefilter("ignore")
