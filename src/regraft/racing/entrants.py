"""What `fit` compares: names and the guide's advice in, approaches in the order to try out."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Sequence

from regraft.approaches import APPROACHES, make_candidates
from regraft.approaches.base import Approach, Asked, Profile
from regraft.backbones.backbone import Backbone, is_available, weights_path, with_transform
from regraft.backbones.built_in import default_backbone, list_backbones
from regraft.backbones.sources import BackboneOptions, get_backbone
from regraft.dataset import Dataset
from regraft.engines import require_training
from regraft.errors import BackboneError, MissingExtraError, UsageError
from regraft.kinds import IMAGE, things
from regraft.kinds.images.transform import as_of_images
from regraft.progress import Progress, silent
from regraft.racing.guide import Advice

_ONE_SIZE = 0.9  # share of the photos from which they count as being of one size


def trains_networks(approaches: Sequence[str]) -> bool:
    """Whether any of those approaches (all, if none is named) trains a network."""
    return any(APPROACHES[name].profile.trains for name in approaches or APPROACHES)


def reads_every_depth(approaches: Sequence[str], modality: str) -> bool:
    """Whether any of those approaches (of the usual ones, if none is named) looks at all depths."""
    names = approaches or _default_names(modality)
    return any(APPROACHES[name].profile.every_depth for name in names)


def check_approaches(approaches: Sequence[str]) -> None:
    """Nothing, if there is an approach of each of these names.

    Raises:
        UsageError: there is none.
        MissingExtraError: it needs an extra that is not installed.
    """
    for name in approaches:
        if name not in APPROACHES:
            raise UsageError(f"there is no approach {name!r}; expected {', '.join(APPROACHES)}")
        extra = APPROACHES[name].profile.extra
        if extra and importlib.util.find_spec(extra) is None:
            raise MissingExtraError(f"the approach {name}", extra)
        if APPROACHES[name].profile.trains:
            require_training(f"the approach {name}")


def candidate_backbones(
    approaches: Sequence[str],
    backbones: Sequence[str | Backbone],
    *,
    modality: str = IMAGE,
    resize: str | None = None,
    options: BackboneOptions | None = None,
    progress: Progress = silent,
) -> list[Backbone]:
    """The named backbones; by default the built-in one, and the installed others too unless
    approaches are named. None where the approaches need none and the built-in one is not installed.

    Args:
        approaches: names; none for all but those that are tried only by name.
        backbones: names, or what was made of them before.
        modality: the kind of input for which the built-in ones are, where none is named.
        resize: "crop", "pad" or "squash"; None for each backbone's own.
        options: for names that need some, see there.
        progress: told before something is fetched.

    Raises:
        UsageError: an approach is unknown, the backbones read different kinds of input, or nothing
            of them can be trained as asked.
        MissingExtraError: an approach needs an extra that is not installed.
        BackboneError: a backbone is unknown or not installed.
    """
    check_approaches(approaches)
    chosen = [_installed(name, options, progress) for name in dict.fromkeys(backbones)]
    others = [one for one in chosen if one.modality != chosen[0].modality]
    if others:
        raise UsageError(
            f"{chosen[0].name} reads {things(chosen[0].modality)} and {others[0].name} "
            f"{things(others[0].modality)}; name backbones of one kind"
        )
    if not chosen:
        default = default_backbone(modality)
        needs_one = any(APPROACHES[n].profile.needs_backbone for n in approaches or APPROACHES)
        if not needs_one and not is_available(default):
            return []
        chosen = [_installed(default, options, progress)]
        if not approaches:
            chosen += [
                backbone
                for backbone in list_backbones()
                if backbone.modality == modality
                and is_available(backbone)
                and backbone not in chosen
            ]
    all_tune = bool(approaches) and all(APPROACHES[name].profile.tunes for name in approaches)
    if all_tune and all(backbone.is_frozen for backbone in chosen):
        raise UsageError(
            f"{chosen[0].name} is used as it is, and {' and '.join(approaches)} would train it; "
            "take linear_probe, or another backbone"
        )
    if resize is not None:
        chosen = [with_transform(backbone, resize=resize) for backbone in chosen]
    return chosen


def candidate_approaches(
    approaches: Sequence[str],
    backbones: Sequence[str | Backbone],
    *,
    modality: str = IMAGE,
    resize: str | None = None,
    whole_px: int | None = None,
    advice: Advice | None = None,
    architecture: str | None = None,
    ranked: Sequence[Backbone] = (),
) -> list[Approach]:
    """What is compared, in the order in which it is tried.

    Each approach makes its own candidates, see `approaches.make_candidates`.

    Args:
        approaches: names; none for all but those that are tried only by name.
        backbones: names, or what `candidate_backbones` made of them; none for those that are
            installed.
        modality: the kind of input.
        resize: "crop", "pad" or "squash"; None for each backbone's own.
        whole_px: see `Asked`, and the function of that name.
        advice: of the guide; None where nothing that trains is asked for.
        architecture: for `scratch`, see there.
        ranked: the backbones after the first in the order to try them, see
            `guide.rank_backbones`; by default as they are listed.

    Raises:
        UsageError: an approach is unknown, see `candidate_backbones` too.
        BackboneError: a backbone is unknown or not installed.
    """
    chosen = candidate_backbones(approaches, backbones, modality=modality, resize=resize)
    if ranked:
        chosen = [chosen[0], *ranked]
    names = list(dict.fromkeys(approaches))
    for name in names:
        if not APPROACHES[name].profile.is_for(modality):
            raise UsageError(
                f"the approach {name} is for {things(APPROACHES[name].profile.kind)}, and the data "
                f"are {things(modality)}; leave it out"
            )
    asked = Asked(
        backbones=chosen,
        kind=modality,
        names_backbones=bool(backbones),
        names_approaches=bool(names),
        resize=resize,
        whole_px=whole_px,
        architecture=architecture,
        advised=() if advice is None else advice.trains,
    )
    return make_candidates(names or _default_names(modality), asked)


def whole_px(data: Dataset, network: Backbone) -> int | None:
    """The side of a square in which photos are seen whole: their own, where all have one size.

    What is resampled loses its finest texture: on fabric of 250 px the first convolution told
    0.965 of the photos apart as they are, and 0.90 at 224 or 256 px. Photos of several sizes, or of
    one that is far from the size the network was trained on, are seen at that.

    Args:
        data: its training rows.
        network: of photos; None for what it is not.
    """
    transform = as_of_images(network.transform)
    if transform is None:
        return None
    own, sizes = transform.image_size_px, Counter((r.width, r.height) for r in data.train)
    ((width, height), count), *_ = sizes.most_common(1)
    is_one_size = width == height and count >= _ONE_SIZE * len(data.train)
    return width if is_one_size and own / 2 <= width <= 1.5 * own else own


def _default_names(modality: str) -> list[str]:
    """The approaches that are tried where none is named."""
    return [name for name, _ in _default_profiles(modality)]


def _default_profiles(modality: str) -> list[tuple[str, Profile]]:
    profiles = [(name, approach.profile) for name, approach in APPROACHES.items()]
    return [(name, p) for name, p in profiles if p.by_default and p.is_for(modality)]


def _installed(
    name: str | Backbone, options: BackboneOptions | None, progress: Progress
) -> Backbone:
    if isinstance(name, Backbone):
        backbone = name
    else:
        backbone = get_backbone(name, **(options or BackboneOptions()), progress=progress)
    if not is_available(backbone):
        try:
            weights_path(backbone)
        except BackboneError as error:
            without = [n for n, p in _default_profiles(backbone.modality) if not p.needs_backbone]
            if isinstance(name, str) or not without:
                raise
            instead = f"take --approach {without[0]}, which needs none"
            raise BackboneError(f"{error}, or {instead}") from error
    return backbone
