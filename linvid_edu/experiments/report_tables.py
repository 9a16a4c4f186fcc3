"""Write the tables of a report into a folder of results: variants, layers, verdicts, interventions, colors."""

from pathlib import Path

import pandas

from .hypotheses import decide_ablation, decide_blank_tokens, decide_rivals
from .per_variant import by_layer, by_variant
from .tables import with_ablation_runs, write_tables

DIGITS = "%.6g"
# of the verdicts on blank tokens; there is no measure, because all hypotheses share one
BLANK_TOKEN_COLUMNS = ["statement", "first", "second", "seeds", "difference", "low", "high", "p", "wins", "adjusted_p"]


def report_task(folder: str | Path) -> list[Path]:
    """Write variants.csv, concentration.csv and statements.csv from the runs of the ablation on one task.

    Args:
        folder: Folder with runs.csv and layers.csv; the tables are written into it.

    Returns:
        Paths of the tables.
    """
    runs, layers = (pandas.read_csv(Path(folder, f"{name}.csv")) for name in ("runs", "layers"))
    return _write(folder, runs, layers, decide_ablation(runs, layers))


def report_rivals(folder: str | Path, ablation: str | Path) -> list[Path]:
    """Write variants.csv, concentration.csv and statements.csv from the runs of rivals on one task.

    Args:
        folder: Folder with runs.csv and layers.csv of the rivals; the tables are written into it.
        ablation: Folder with the same files of the ablation on this task, with which rivals are compared.

    Returns:
        Paths of the tables.
    """
    runs, layers = (
        with_ablation_runs(*(pandas.read_csv(Path(source, f"{name}.csv")) for source in (folder, ablation)))
        for name in ("runs", "layers")
    )
    layers = layers[layers["run"].isin(runs["run"])]
    return _write(folder, runs, layers, decide_rivals(runs, layers))


def _write(
    folder: str | Path, runs: pandas.DataFrame, layers: pandas.DataFrame, verdicts: pandas.DataFrame
) -> list[Path]:
    tables = {
        "variants": by_variant(runs, layers).reset_index(),
        "concentration": by_layer(runs, layers),
        "statements": verdicts,
    }
    return write_tables(tables, folder, float_format=DIGITS)


def report_blank_tokens(folder: str | Path, runs: str | Path | None = None) -> list[Path]:
    """Write statements.csv and the figure blank_tokens.png from blanks.csv, which is written first if runs are given.

    Args:
        folder: Folder of the tables.
        runs: Folder of a sweep whose trained models are tested; by default the recorded blanks.csv is read.

    Returns:
        Paths of what was written.
    """
    from .blank_tokens import accuracy_by_grid, loss_by_run
    from .report import blank_curves

    paths = [] if runs is None else write_tables({"blanks": accuracy_by_grid(runs)}, folder, float_format=DIGITS)
    table = pandas.read_csv(Path(folder, "blanks.csv"))
    verdicts = decide_blank_tokens(loss_by_run(table))[[*BLANK_TOKEN_COLUMNS, "verdict"]]
    paths += write_tables({"statements": verdicts}, folder, float_format=DIGITS)
    picture = Path(folder, "blank_tokens.png")
    blank_curves(table).save(picture)
    return [*paths, picture]


def report_interventions(folder: str | Path, runs: str | Path) -> list[Path]:
    """Write cause.csv: the trained models of a sweep, tested with sharpened maps and with changed fixation ratios.

    Args:
        folder: Folder of the table.
        runs: Folder of the sweep, with its checkpoints.

    Returns:
        Path of the table.
    """
    from .intervention_study import intervene

    return write_tables({"cause": intervene(runs)}, folder)


def report_colors(folder: str | Path, runs: str | Path | None = None) -> list[Path]:
    """Write errors.csv and correlations.csv from colors.csv; if runs are given, colors.csv and powers.csv first.

    Args:
        folder: Folder of the tables.
        runs: Folder of a sweep whose trained models are tested; by default the recorded colors.csv is read.

    Returns:
        Paths of the tables.
    """
    from . import color_study

    paths = []
    if runs is not None:
        measured = {
            "colors": color_study.colors_by_run(runs),
            "powers": color_study.errors_of_sharpened_maps(runs),
        }
        paths = write_tables(measured, folder, float_format=DIGITS)
    colors = pandas.read_csv(Path(folder, "colors.csv"))
    tables = {
        "errors": color_study.errors_by_variant(colors),
        "correlations": color_study.correlations_with_error(colors),
    }
    return [*paths, *write_tables(tables, folder, float_format=DIGITS)]
