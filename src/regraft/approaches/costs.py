"""What a training costs on this machine: a plan in, seconds out, from a short measured probe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regraft.approaches.base import NO_LIMITS, Cost, Limits, further_epochs
from regraft.approaches.plans import Job, TrainingPlan
from regraft.dataset import Dataset
from regraft.progress import silent

if TYPE_CHECKING:
    from regraft.engines.training import Speed

_PROBED = 16  # photos that are timed to predict how long the rest takes
EXPORT_S = 12.0  # turning the trained network into ONNX, measured; the same for every data set
_SETUP_S = 2.0  # loading and checking the network, for each training


def predicted_cost(
    plan: TrainingPlan,
    data: Dataset,
    *,
    folds: int,
    views_at: Callable[[int], int] | None = None,
    limits: Limits = NO_LIMITS,
    jobs: int | None = None,
) -> Cost:
    """Seconds this plan will take on this machine, from a probe of a second or two.

    A few photos are passed through the frozen part, a few steps are trained, and both are
    multiplied up; activations that are on disk already cost nothing. `views_at` says how many
    views another number of epochs would have.

    Raises:
        OutOfTimeError: the deadline of `limits` passed first.
    """
    limits.check()  # what was loaded for the plan may have taken the rest of the time
    job = Job.open(plan, data, jobs=jobs, progress=silent, views=0, check=limits.check)
    n = len(job.labels)
    held = n // folds
    to_compute = [job.inputs.missing(views) for views in range(plan.recipe.views + 1)]
    each = 0.0
    if to_compute[-1]:
        each = job.inputs.seconds_per_image(min(n, _PROBED), jobs=jobs)
    speed = speed_of(job)
    training, predicting = speed.train_s, speed.predict_s
    per_epoch = (n - held) * training + held * predicting
    # A linear probe as head: two passes forward, and a fit of about a second for 2,000 photos.
    warm = n * (2 * predicting + 0.0005) if plan.warm_head else 0.0
    epochs = plan.recipe.epochs
    return Cost(
        epochs=epochs,
        once=to_compute[-1] * each,
        fold=_SETUP_S + warm + epochs * per_epoch + held * predicting,
        fit=_SETUP_S + further_epochs(epochs) * n * training + n * predicting + EXPORT_S,
        fold_epoch=per_epoch,
        fit_epoch=n * training,
        once_at=lambda e: (
            each * to_compute[min(views_at(e), plan.recipe.views) if views_at else -1]
        ),
    )


_speeds: dict[tuple[Any, ...], Any] = {}


def speed_of(job: Job) -> Speed:
    """What a photo costs here; measured once in a process for each network and boundary."""
    plan = job.plan
    scope = str(plan.settings.get("train"))
    key = (plan.approach, plan.backbone, plan.boundary, scope, job.n_classes)
    if key not in _speeds:
        _speeds[key] = job.loop.measure_speed(
            plan.make(job.n_classes),
            job.inputs.shape,
            job.inputs.dtype,
            n_classes=job.n_classes,
            batch_size=plan.recipe.batch_size,
            check=job.check,
        )
    return _speeds[key]  # type: ignore[no-any-return]
