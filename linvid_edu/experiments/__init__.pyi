from . import report as report
from .blank_tokens import (
    accuracy_by_grid as accuracy_by_grid,
)
from .blank_tokens import (
    loss_by_run as loss_by_run,
)
from .color_study import (
    colors_by_run as colors_by_run,
)
from .color_study import (
    correlations_with_error as correlations_with_error,
)
from .color_study import (
    errors_by_variant as errors_by_variant,
)
from .color_study import (
    errors_of_sharpened_maps as errors_of_sharpened_maps,
)
from .film_training import FilmTraining as FilmTraining
from .hypotheses import (
    conclusion as conclusion,
)
from .hypotheses import (
    decide_ablation as decide_ablation,
)
from .hypotheses import (
    decide_blank_tokens as decide_blank_tokens,
)
from .hypotheses import (
    verdict_line as verdict_line,
)
from .intervention_study import intervene as intervene
from .paired_tests import (
    compare_pairs as compare_pairs,
)
from .paired_tests import (
    holm as holm,
)
from .paired_tests import (
    mean_interval as mean_interval,
)
from .paired_tests import (
    share_interval as share_interval,
)
from .per_variant import (
    by_layer as by_layer,
)
from .per_variant import (
    by_run as by_run,
)
from .per_variant import (
    by_variant as by_variant,
)
from .per_variant import (
    larger_grids as larger_grids,
)
from .per_variant import (
    missing_runs as missing_runs,
)
from .per_variant import (
    through_line as through_line,
)
from .report import blank_curves as blank_curves
from .sweep_grid import (
    PlannedRun as PlannedRun,
)
from .sweep_grid import (
    expand_grid as expand_grid,
)
from .sweep_grid import (
    plan_runs as plan_runs,
)
from .sweep_grid import (
    read_sweep_grid as read_sweep_grid,
)
from .sweep_runs import (
    run_plain as run_plain,
)
from .sweep_runs import (
    run_sweep as run_sweep,
)
from .tables import (
    ResultTables as ResultTables,
)
from .tables import (
    collect as collect,
)
from .tables import (
    with_ablation_runs as with_ablation_runs,
)
