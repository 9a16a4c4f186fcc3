"""The metrics of a finished run: what metrics.json holds."""

from pathlib import Path
from typing import Any

from linvid_edu.models.checkpoint import CheckpointError
from linvid_edu.models.color_transformer import make_model
from linvid_edu.models.transformer import VideoTransformer

from .color_evaluation import colors_of_test, copy_head_row
from .color_task import ColorTask
from .config import TrainConfig
from .evaluation import accuracy, concentration_per_layer
from .run_checkpoints import Progress
from .run_format import read_run_file, run_header
from .run_provenance import peak_memory_mb, provenance
from .tasks import Data, Task

METRICS = "metrics.json"


def final_metrics(
    config: TrainConfig, data: Data, model: VideoTransformer, progress: Progress, *, device: str, clips: int
) -> dict[str, Any]:
    """Test a trained model, and record where the numbers come from.

    Args:
        config: Settings of the run.
        data: Clips of the tests.
        model: The trained model, on any device.
        progress: Progress of the run at its end.
        device: Device that the model was trained on.
        clips: Number of clips of each test.

    Returns:
        ``format``, ``config`` and ``clips``, see ``run_header``; ``accuracy`` by test, and ``test_clips``; ``ceiling``
        of the main test; ``curve`` and ``losses``, see ``Progress``; ``concentration``, the rows of
        ``concentration_per_layer`` on the main test, or no rows if the objects of the clips are not known; ``color``,
        see ``colors_of_test``, None for other tasks;
        ``unreadable``, the clips of a folder that were skipped, and why; ``parameters``; ``seconds`` of training,
        ``clips_per_second`` and ``peak_memory_mb`` of the process; and ``provenance``.
    """
    place = next(model.parameters()).device
    on_cpu = make_model(model.config)
    on_cpu.load_state_dict({name: weight.detach().cpu() for name, weight in model.state_dict().items()})
    main_test = next(iter(data.tests))
    color = colors_of_test(on_cpu, data) if isinstance(data, ColorTask) else None
    if isinstance(data, Task):
        concentration = concentration_per_layer(on_cpu, data, main_test)
    else:
        concentration = [] if color is None else [copy_head_row(color)]
    return {
        **run_header(config),
        "variant": model.config.variant,
        "accuracy": {name: accuracy(model, data.test_batches(name, clips=clips), place) for name in data.tests},
        "test_clips": min(clips, data.most_test_clips) if isinstance(data, ColorTask) else clips,
        "ceiling": data.ceiling,
        "curve": progress.curve,
        "losses": progress.losses,
        "concentration": concentration,
        "color": color,
        "unreadable": progress.unreadable | dict(data.unreadable),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "seconds": round(progress.seconds, 2),
        "clips_per_second": round(config.batch * progress.step / progress.seconds, 1) if progress.seconds else None,
        "peak_memory_mb": peak_memory_mb(),
        "provenance": provenance(device),
    }


def read_metrics(folder: str | Path) -> dict[str, Any] | None:
    """Return the metrics of a finished run; None if the folder has none.

    Args:
        folder: Path of the run's folder.

    Raises:
        CheckpointError: The file does not hold the metrics of a run, or has a newer format.
    """
    path = Path(folder) / METRICS
    if not path.exists():
        return None
    try:
        metrics = read_run_file(path)
        if not isinstance(metrics["accuracy"], dict):
            raise TypeError("its accuracy is no object")
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not the metrics of a run ({error}): remove it, or choose another folder"
        ) from error
    return metrics
