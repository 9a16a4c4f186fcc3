from . import (
    blank_tokens as blank_tokens,
)
from . import (
    report as report,
)
from .hypotheses import (
    conclusion as conclusion,
)
from .hypotheses import (
    in_words as in_words,
)
from .hypotheses import (
    statements as statements,
)
from .intervention_study import cause as cause
from .paired_tests import (
    compare as compare,
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
    CLUTTER as CLUTTER,
)
from .per_variant import (
    by_run as by_run,
)
from .per_variant import (
    concentration as concentration,
)
from .per_variant import (
    owed as owed,
)
from .per_variant import (
    variants as variants,
)
from .report import blank_curves as blank_curves
from .rivals_hypotheses import together as together
from .sweep_grid import (
    Effort as Effort,
)
from .sweep_grid import (
    Run as Run,
)
from .sweep_grid import (
    expand as expand,
)
from .sweep_grid import (
    plan as plan,
)
from .sweep_grid import (
    read_grid as read_grid,
)
from .sweep_runs import (
    run_plain as run_plain,
)
from .sweep_runs import (
    sweep as sweep,
)
from .tables import (
    Results as Results,
)
from .tables import (
    collect as collect,
)
