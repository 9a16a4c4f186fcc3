"""`linvid report`: the tables and verdicts of a report, from the runs of a sweep."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from .app import app

report_app = typer.Typer(
    help="Write the tables and verdicts of a report, from the runs of a sweep.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(report_app, name="report")

Folder = Annotated[Path, typer.Argument(help="Folder of results, such as results/lookup.", show_default=False)]
Runs = Annotated[
    Path, typer.Option(metavar="RUNS", help="Folder of a sweep, with its checkpoints.", show_default=False)
]

TestedRuns = Annotated[
    Path | None,
    typer.Option(
        metavar="RUNS",
        help="Folder of a sweep whose trained models are tested first.  [default: read the recorded table]",
        show_default=False,
    ),
]


@report_app.command("task")
def write_task_tables(folder: Folder) -> None:
    """Decide the statements of the ablation on one task.

    Reads runs.csv and layers.csv in the folder, which `linvid sweep --collect` writes, and writes variants.csv,
    concentration.csv and statements.csv beside them.

    Example: linvid report task results/lookup
    """
    from linvid_edu.experiments.report_tables import report_task

    _print_paths(report_task(folder))


@report_app.command("rivals")
def write_rival_tables(
    folder: Folder,
    ablation: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Results of the ablation on the same task, to compare with.", show_default=False
        ),
    ],
) -> None:
    """Decide the statements about rivals on one task.

    Reads runs.csv and layers.csv in both folders, and writes variants.csv, concentration.csv and statements.csv into
    the first.

    Example: linvid report rivals results/rivals/lookup --ablation results/lookup
    """
    from linvid_edu.experiments.report_tables import report_rivals

    _print_paths(report_rivals(folder, ablation))


@report_app.command("blank-tokens")
def write_blank_token_tables(
    folder: Folder,
    runs: TestedRuns = None,
) -> None:
    """Decide the statements about blank tokens.

    Tests the trained models of cue lookup on larger grids, with and without blank tokens, and writes blanks.csv,
    statements.csv and blank_tokens.png into the folder.

    Example: linvid report blank-tokens results/tokens --runs runs/tokens
    """
    from linvid_edu.experiments.report_tables import report_blank_tokens

    _print_paths(report_blank_tokens(folder, runs))


@report_app.command("interventions")
def write_intervention_table(folder: Folder, runs: Runs) -> None:
    """Test trained models with sharpened attention maps and with changed fixation ratios.

    Writes cause.csv into the folder.

    Example: linvid report interventions results/lookup --runs runs/lookup
    """
    from linvid_edu.experiments.report_tables import report_interventions

    _print_paths(report_interventions(folder, runs))


@report_app.command("colors")
def write_color_tables(folder: Folder, runs: TestedRuns = None) -> None:
    """Compare the colors that trained models copy, and what goes with their errors.

    Writes errors.csv (a row per variant) and correlations.csv (entropy and selectivity against the error) from
    colors.csv (a row per run). With --runs, tests the trained models first, and writes colors.csv and powers.csv (maps
    raised to powers).

    Example: linvid report colors results/color/photographs --runs runs/photographs
    """
    from linvid_edu.experiments.report_tables import report_colors

    _print_paths(report_colors(folder, runs))


def _print_paths(paths: Iterable[Path]) -> None:
    typer.echo("\n".join(map(str, paths)))
