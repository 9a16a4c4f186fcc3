from .environment import (
    check_environment as check_environment,
)
from .environment import (
    summary as summary,
)
from .exercises import (
    check as check,
)
from .exercises import (
    exercise_widget as exercise_widget,
)
from .exercises import (
    hint as hint,
)
from .exercises import (
    solution as solution,
)
