from .color_task import ColorTask as ColorTask
from .config import Effort as Effort
from .config import TrainConfig as TrainConfig
from .evaluation import (
    accuracy as accuracy,
)
from .evaluation import (
    concentration_per_layer as concentration_per_layer,
)
from .fabric import (
    make_fabric as make_fabric,
)
from .fabric import (
    plain_fabric as plain_fabric,
)
from .loop import (
    initialize as initialize,
)
from .loop import (
    learning_rate as learning_rate,
)
from .loop import (
    make_optimizer as make_optimizer,
)
from .loop import (
    train as train,
)
from .metrics import read_metrics as read_metrics
from .run import fit as fit
from .run_checkpoints import (
    Progress as Progress,
)
from .run_checkpoints import (
    checkpoints as checkpoints,
)
from .run_checkpoints import (
    load_checkpoint as load_checkpoint,
)
from .run_checkpoints import (
    save_checkpoint as save_checkpoint,
)
from .run_lock import claimed as claimed
from .tasks import TASKS as TASKS
from .tasks import Task as Task
from .tasks import TaskTest as TaskTest
