"""What `fit` compares: names and the guide's advice in, approaches in the order to try out."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from regraft.approaches import (
    APPROACHES,
    ONLY_BY_NAME,
    ONLY_FOR,
    Approach,
    FastaiFineTune,
    FineTune,
    Knn,
    LinearProbe,
    Scratch,
    Tfidf,
    WordVectors,
)
from regraft.catalogue import (
    Backbone,
    BackboneOptions,
    default_backbone,
    get_backbone,
    is_available,
    list_backbones,
    weights_path,
    with_transform,
)
from regraft.errors import BackboneError, MissingExtraError, UsageError
from regraft.guide import Advice
from regraft.modality import IMAGE
from regraft.progress import Progress, silent

TRAINED = ("fine_tune", "word_vectors", "scratch", "fastai")
_WITHOUT_BACKBONE = {"tfidf"}
_ON_PARTS = {"fine_tune", "fastai"}  # approaches that train parts of a backbone
_SCOPES = ("last_2_stages", "last_4_stages")  # where there is no advice


def trains_networks(approaches: Sequence[str]) -> bool:
    """Whether any of those approaches (all, if none is named) trains a network."""
    return not approaches or any(name in TRAINED for name in approaches)


def check_approaches(approaches: Sequence[str]) -> None:
    """Nothing, if there is an approach of each of these names.

    Raises:
        UsageError: there is none.
        MissingExtraError: it needs an extra that is not installed.
    """
    unknown = [name for name in approaches if name not in APPROACHES]
    if unknown:
        raise UsageError(f"there is no approach {unknown[0]!r}; expected {', '.join(APPROACHES)}")
    if "fastai" in approaches and importlib.util.find_spec("fastai") is None:
        raise MissingExtraError("the approach fastai", "fastai")


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
            f"{chosen[0].name} reads {chosen[0].modality}s and {others[0].name} "
            f"{others[0].modality}s; name backbones of one kind"
        )
    if not chosen:
        default = default_backbone(modality)
        needs_none = bool(approaches) and set(approaches) <= _WITHOUT_BACKBONE
        if needs_none and not is_available(default):
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
    if approaches and set(approaches) <= _ON_PARTS and all(b.is_frozen for b in chosen):
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
    advice: Advice | None = None,
    architecture: str | None = None,
    ranked: Sequence[Backbone] = (),
) -> list[Approach]:
    """What is compared, in the order in which it is tried.

    Frozen features come first: they take seconds. Then what the guide advises to train, what
    begins with the pixels last: on a CPU it takes ten times as long. Training from scratch closes
    the list, as the measure of what transfer is worth; small networks that read word vectors come
    before the fine-tuning of an encoder. Fine-tuning is tried on the backbones that were named, or
    on the built-in one.

    Args:
        approaches: names; none for all but those that are tried only by name.
        backbones: names, or what `candidate_backbones` made of them; none for those that are
            installed.
        modality: the kind of input.
        resize: "crop", "pad" or "squash"; None for each backbone's own.
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
    names = _names_for(modality, approaches)
    frozen: list[Approach] = [Tfidf()] if "tfidf" in names else []
    for i, backbone in enumerate(chosen):
        is_default = not approaches and i == 0
        if "linear_probe" in names:
            frozen.append(LinearProbe(backbone))
        if "knn" in names and (approaches or is_default):
            frozen.append(Knn(backbone))
        if is_default and modality == IMAGE:
            frozen.append(LinearProbe(backbone, views=2))
    named = chosen if backbones else chosen[:1]
    tuned = [backbone for backbone in named if not backbone.is_frozen]
    trained: list[Approach] = []
    if "word_vectors" in names:
        trained += [WordVectors(backbone) for backbone in named]
    if "scratch" in names and modality != IMAGE:
        trained.append(WordVectors(learned=True))  # as quick
    if "fine_tune" in names:
        scopes = _scopes(advice)
        trained += [FineTune(backbone, train=scope) for scope in scopes for backbone in tuned]
    if "fastai" in names:
        trained += [FastaiFineTune(backbone) for backbone in tuned]
    if "scratch" in names and modality == IMAGE:
        trained.append(Scratch(architecture, resize=resize))
    return [*frozen, *trained]


def _names_for(modality: str, approaches: Sequence[str]) -> list[str]:
    """The approaches that were named, or all that are tried by default, for a kind of input.

    Raises:
        UsageError: one that was named is for another kind.
    """
    names = list(approaches) or [name for name in APPROACHES if name not in ONLY_BY_NAME]
    foreign = [name for name in names if ONLY_FOR.get(name, modality) != modality]
    if approaches and foreign:
        raise UsageError(
            f"the approach {foreign[0]} is for {ONLY_FOR[foreign[0]]}s, and the data are "
            f"{modality}s; leave it out"
        )
    return [name for name in dict.fromkeys(names) if name not in foreign]


def _scopes(advice: Advice | None) -> list[str]:
    """What to fine-tune: the advice, its rule-of-thumb rivals, and the dearest ones last."""
    advised = [] if advice is None else [t for t in advice.trains if t not in ("head", "scratch")]
    wanted = list(dict.fromkeys([*advised, *_SCOPES]))
    return sorted(wanted, key=lambda scope: not scope.startswith("last"))


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
            if backbone.modality == IMAGE or isinstance(name, str):
                raise
            raise BackboneError(f"{error}, or take --approach tfidf, which needs none") from error
    return backbone
