"""What decides a training run: one frozen `TrainConfig`, as a recipe makes it.

Its parts are objects: the model, the views that an item shows, the losses between them, and the
augmentation. Each setting carries its range, and whether a resumed run may change it, in its own
field. Defaults are the published ones (Christensen et al., Nature Medicine 2024).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from echoclip_r.errors import OptionError
from echoclip_r.model.settings import Setting, check, rule, settings_of
from echoclip_r.model.spec import ModelSpec
from echoclip_r.text.codec import is_published
from echoclip_r.training.augment import Augmentation
from echoclip_r.training.loss import LOSSES, Contrastive, Loss, Preference
from echoclip_r.training.views import (
    FRAME_VIEWS,
    TEXT_VIEWS,
    FrameView,
    RandomFrame,
    SentenceRun,
    Statement,
    TextView,
    TokenSpan,
    Twins,
    WholeReport,
)
from echotok.spelling import did_you_mean

__all__ = ["TrainConfig", "changed", "config_from_dict", "config_from_format_1", "with_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that a run's result depends on, but the data.

    Raises:
        OptionError: a value is out of range, or two do not go together.
    """

    recipe: str
    """Name of the recipe that it comes from, for people."""
    model: ModelSpec
    """The model that is trained."""
    texts: tuple[TextView, ...]
    """What is read of a report: one text or several of each item."""
    losses: tuple[Loss, ...]
    """What the frames and these texts are taught; the loss of a step is the weighted sum."""
    frame: FrameView = field(default_factory=RandomFrame)
    """Which frame of a clip is shown."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """How a frame is changed by chance before it is shown."""

    batch_size: int = field(default=1024, metadata=rule(least=2))
    """Clips a step, of all processes together."""
    accumulate: int = field(default=1, metadata=rule(least=1))
    """Parts that a process's batch is cut into to save memory; the result is the same."""
    epochs: int = field(default=50, metadata=rule(least=1, may_change=True))
    """Passes over the training split; each shows one frame of every clip. A run may go on with
    more; the learning rate then follows the longer cosine from where it is."""
    lr: float = field(default=5e-5, metadata=rule(above=0, may_change=True))
    """Highest learning rate."""
    warmup_steps: int = field(default=2000, metadata=rule(least=0, may_change=True))
    """Steps of linear warm-up, before the cosine to 0."""
    weight_decay: float = field(default=0.2, metadata=rule(least=0, may_change=True))
    """AdamW's weight decay, on matrices only."""
    beta1: float = field(default=0.9, metadata=rule(least=0, most=1, may_change=True))
    """AdamW's decay of the mean of the gradients."""
    beta2: float = field(default=0.999, metadata=rule(least=0, most=1, may_change=True))
    """AdamW's decay of the mean of the squared gradients."""
    eps: float = field(default=1e-8, metadata=rule(above=0, may_change=True))
    """What AdamW adds to the divisor."""
    grad_clip_norm: float | None = field(default=None, metadata=rule(above=0, may_change=True))
    """The length to which a longer gradient is cut, or None for no limit."""
    max_logit_scale: float = field(default=100.0, metadata=rule(least=1, may_change=True))
    """The temperature's inverse is kept between 1 and this."""
    grad_checkpointing: bool = field(default=False, metadata=rule(may_change=True))
    """Whether activations are forgotten and computed again: less memory, a third more time."""

    smooth_numbers: bool = False
    """Whether the rows of numbers share a smooth function of their size while the model trains; see
    `echoclip_r.model.number_rows`. It needs a phrase tokenizer."""
    seed: int = field(default=0, metadata=rule(least=0))
    """Decides the first weights, the order of the clips, and all that is drawn of each."""
    workers: int = field(default=0, metadata=rule(least=0, may_change=True))
    """Processes that read and decode for each training process; 0 takes a thread instead."""
    readers: int | None = field(default=None, metadata=rule(least=1, may_change=True))
    """Slices that an epoch is read in, which decides the order of the clips: None takes as many as
    workers, or 1. A run keeps the number that it was begun with, and goes on with any number of
    workers that divides it."""
    cache_mb: int = field(default=2048, metadata=rule(least=0, may_change=True))
    """Shards of up to this size in all are kept in memory by each reader; larger ones are not."""
    validate_every_epochs: int = field(default=1, metadata=rule(least=1, may_change=True))
    """Epochs between retrieval on the validation split; it is also done after the last."""
    validation_clips: int = field(default=10_000, metadata=rule(least=2, may_change=True))
    """The most clips of the validation split that are used."""
    checkpoint_every_steps: int = field(default=1000, metadata=rule(least=1, may_change=True))
    """Steps between checkpoints; one is also written at the end."""
    keep_checkpoints: int = field(default=2, metadata=rule(least=1, may_change=True))
    """Checkpoints that are kept, beside the best."""
    log_every_steps: int = field(default=10, metadata=rule(least=1, may_change=True))
    """Steps between lines of the log."""

    def __post_init__(self) -> None:
        check(self)
        if self.num_readers % max(self.workers, 1):
            raise OptionError(
                f"workers is {self.workers} and readers is {self.num_readers}: each worker must "
                f"have as many readers as the others, so set workers to {self._possible_workers()}"
            )
        if type(self.model) is not ModelSpec:
            raise OptionError(f"model is {self.model!r}; it takes a ModelSpec")
        if type(self.augmentation) is not Augmentation:
            raise OptionError(f"augmentation is {self.augmentation!r}; it takes an Augmentation")
        for name, parts, kinds in (
            ("frame", (self.frame,), FRAME_VIEWS),
            ("texts", self.texts, TEXT_VIEWS),
            ("losses", self.losses, LOSSES),
        ):
            if type(parts) is not tuple or not parts or {*map(type, parts)} - {*kinds.values()}:
                known = " or ".join(kind.__name__ for kind in kinds.values())
                raise OptionError(f"{name} is {parts!r}; it takes {known}, in a tuple if several")
        for loss in self.losses:
            views = self.views_of_texts
            last = loss.text + loss.num_texts - 1
            if last >= len(views):
                raise OptionError(
                    f"a loss compares the frames with text {last}, and the recipe reads "
                    f"{len(views)} (they are counted from 0)"
                )
            for view in views[loss.text : last + 1]:
                if not (isinstance(loss, Contrastive) or view.states_findings):
                    raise OptionError(
                        f"the loss on shared findings asks what texts claim, and {view} does not "
                        "say it; give it the number of a Statement"
                    )
            if isinstance(loss, Preference) and not isinstance(views[loss.text], Twins):
                raise OptionError(
                    f"the loss on preference compares a text with its changed twin, and "
                    f"{views[loss.text]} has none; give it the number of Twins"
                )
        if is_published(self.model.tokenizer):
            raise OptionError(
                "a run is not trained with the published template tokenizer, which drops what it "
                "does not know: set tokenizer to echo, echo-clip or an artifact. Its weights may "
                "be what a run starts from (pretrained)"
            )
        if self.smooth_numbers and self.model.tokenizer is None:
            raise OptionError(
                "smooth_numbers needs a phrase tokenizer, which has a row for a number: set "
                "tokenizer to echo, echo-clip or an artifact"
            )
        for view in self.texts:
            if self.model.tokenizer is None and view.needs_sentences:
                raise OptionError(
                    f"the recipe reads {view}, which needs a phrase tokenizer: open_clip's own "
                    "does not know where sentences end; set tokenizer to echo, echo-clip or an "
                    "artifact"
                )

    @property
    def views_of_texts(self) -> tuple[TextView, ...]:
        """The view of each text of an item; a view may show several."""
        return tuple(view for view in self.texts for _ in range(view.num_texts))

    @property
    def num_readers(self) -> int:
        """The slices that an epoch is read in."""
        return self.readers or max(self.workers, 1)

    def _possible_workers(self) -> str:
        readers = self.num_readers
        return "0 or " + " or ".join(str(n) for n in range(1, readers + 1) if readers % n == 0)

    def to_dict(self) -> dict[str, Any]:
        """The whole configuration, ready for JSON; `config_from_dict` reads it back."""
        return {"model": self.model.to_dict(), **self.training_dict()}

    def training_dict(self) -> dict[str, Any]:
        """All but the model, which a checkpoint holds apart; ready for JSON."""
        plain = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "model"}
        return plain | {
            "frame": _tagged(self.frame, FRAME_VIEWS),
            "texts": [_tagged(view, TEXT_VIEWS) for view in self.texts],
            "losses": [_tagged(loss, LOSSES) for loss in self.losses],
            "augmentation": dataclasses.asdict(self.augmentation),
        }


def changed(config: TrainConfig, **values: Any) -> TrainConfig:
    """A config with some settings changed, in whichever of its parts they stand.

    `model` names the towers; `sentence_weight` is the share of the losses on parts of reports (runs
    of sentences, statements), and the others keep the rest.

    Args:
        config: what to start from.
        values: settings by the names that the command line has for them.

    Raises:
        OptionError: the config has no such setting, or it refuses the value.

    Example:
        >>> from echoclip_r.training.recipes import echoclip_r
        >>> config = changed(echoclip_r(), drop_sentences=0.3, context_length=128)
        >>> config.texts, config.model.context_length
        ((WholeReport(drop_sentences=0.3),), 128)
    """
    known = _settings(config)
    for name in values:
        if name not in known:
            raise OptionError(_unknown(name, config))

    def part(settings: Any) -> Any:
        own = {
            setting.field: values[name]
            for name, setting in settings_of(type(settings)).items()
            if name in values and _is_settable(setting)
        }
        return replace(settings, **own) if own else settings

    losses = config.losses
    if "sentence_weight" in values:
        losses = _shared(config, values["sentence_weight"])
    plain = {name: values[name] for name in settings_of(TrainConfig) if name in values}
    return replace(
        config,
        model=part(config.model),
        frame=part(config.frame),
        texts=tuple(map(part, config.texts)),
        losses=tuple(map(part, losses)),
        augmentation=part(config.augmentation),
        **plain,
    )


def with_settings(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """A config with some settings changed, as the command line gives them.

    Args:
        config: what to start from.
        settings: `name=value` each; `none` for None, `true` or `false`.

    Raises:
        OptionError: no such setting, a value of the wrong kind, or out of range.

    Example:
        >>> from echoclip_r.training.recipes import echoclip_r
        >>> with_settings(echoclip_r(), ["batch_size=256", "lr=1e-4"]).lr
        0.0001
    """
    known = _settings(config)
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, cell = setting.partition("=")
        name = name.strip()
        if not equals or name not in known:
            reason = f"write name=value, the name one of {', '.join(known)}"
            told = _unknown(name, config) if equals else reason
            raise OptionError(f"setting {setting!r}: {told}")
        values[name] = known[name].parse(cell.strip())
    return changed(config, **values)


def config_from_dict(content: Mapping[str, Any]) -> TrainConfig:
    """A config from what `TrainConfig.to_dict` wrote.

    Raises:
        OptionError: it has a part that this version does not know, or a value that it refuses.
        KeyError: a part of it is missing.
    """
    _refuse_unknown(content, TrainConfig, "the configuration")
    parts = {
        "model": ModelSpec.from_dict(content["model"]),
        "frame": _untagged(content["frame"], FRAME_VIEWS),
        "texts": tuple(_untagged(view, TEXT_VIEWS) for view in content["texts"]),
        "losses": tuple(_untagged(loss, LOSSES) for loss in content["losses"]),
        "augmentation": _made(content["augmentation"], Augmentation, "the augmentation"),
    }
    return TrainConfig(**{**content, **parts})


def config_from_format_1(spec: ModelSpec, content: Mapping[str, Any]) -> TrainConfig:
    """A config from a checkpoint of format 1, in which views and losses were single words.

    Args:
        spec: its model.
        content: the other settings.

    Raises:
        OptionError: it has a setting that this version does not know, or a value that it refuses.
        KeyError: a setting is missing.
    """
    left = dict(content)
    positive, share = left.pop("multi_positive"), left.pop("sentence_weight")
    whole = WholeReport(drop_sentences=left.pop("drop_sentences"))
    run = SentenceRun(max_sentences=left.pop("max_sentences"))
    known: Mapping[str, tuple[tuple[TextView, ...], tuple[float, ...]]] = {
        "token-span": ((TokenSpan(),), (1.0,)),
        "whole": ((whole,), (1.0,)),
        "whole-and-sentences": ((whole, run), (1 - share, share)),
    }
    texts, weights = known[left.pop("text")]
    augmentation = {one.name: left.pop(one.name) for one in fields(Augmentation)}
    _refuse_unknown(left, TrainConfig, "the configuration")
    return TrainConfig(
        model=spec,
        texts=texts,
        losses=tuple(
            Contrastive(text=number, weight=weight, multi_positive=positive)
            for number, weight in enumerate(weights)
        ),
        augmentation=Augmentation(**augmentation),
        **left,
    )


def _settings(config: TrainConfig) -> dict[str, Setting]:
    """Every setting of a config that has a name of its own, with those of its parts."""
    parts = (config, config.model, config.frame, *config.texts, *config.losses, config.augmentation)
    found: dict[str, Setting] = {}
    for part in parts:
        own = settings_of(type(part))
        found |= {name: setting for name, setting in own.items() if _is_settable(setting)}
    if any(type(view) in _PARTS for view in config.texts):
        weight = settings_of(Contrastive)["weight"]
        found["sentence_weight"] = replace(weight, name="sentence_weight")
    return found


def _is_settable(setting: Setting) -> bool:
    return bool(setting.rule.get("settable", True))


_PARTS = (SentenceRun, Statement, Twins)


def _shared(config: TrainConfig, share: Any) -> tuple[Loss, ...]:
    """The losses when those on parts of reports have this share, and the others the rest."""
    _settings(config)["sentence_weight"].check(share)
    on_parts = [type(config.views_of_texts[loss.text]) in _PARTS for loss in config.losses]
    each = {True: share / max(sum(on_parts), 1), False: (1 - share) / max(on_parts.count(False), 1)}
    return tuple(
        replace(loss, weight=each[on_part])
        for loss, on_part in zip(config.losses, on_parts, strict=True)
    )


def _unknown(name: str, config: TrainConfig) -> str:
    """Why a config has no setting of this name."""
    elsewhere = [kind for kind in TEXT_VIEWS.values() if name in settings_of(kind)]
    if name == "sentence_weight":
        elsewhere = [SentenceRun]
    if elsewhere:
        reads = ", ".join(map(str, config.texts))
        return (
            f"{name} is a setting of {elsewhere[0].__name__}, and recipe {config.recipe} reads "
            f"{reads}; leave it out, or take another recipe"
        )
    known = _settings(config)
    return f"write name=value, the name one of {', '.join(known)}{did_you_mean(name, known)}"


def _tagged(part: Any, kinds: Mapping[str, type]) -> dict[str, Any]:
    """A part as JSON that says which kind it is."""
    (kind,) = (name for name, known in kinds.items() if known is type(part))
    return {"kind": kind, **dataclasses.asdict(part)}


def _untagged(content: Mapping[str, Any], kinds: Mapping[str, type]) -> Any:
    kind = content["kind"]
    if kind not in kinds:
        raise OptionError(
            f"the configuration has a {kind!r}, and this version of echoclip_r knows "
            f"{', '.join(kinds)}; use the version that wrote it"
        )
    rest = {name: value for name, value in content.items() if name != "kind"}
    return _made(rest, kinds[kind], f"the {kind} of the configuration")


def _made(content: Mapping[str, Any], kind: type, what: str) -> Any:
    _refuse_unknown(content, kind, what)
    return kind(**content)


def _refuse_unknown(content: Mapping[str, Any], kind: Any, what: str) -> None:
    unknown = sorted(set(content) - {one.name for one in fields(kind)})
    if unknown:
        raise OptionError(
            f"{what} has {', '.join(unknown)}, which this version of echoclip_r does not know; "
            "use the version that wrote it"
        )
