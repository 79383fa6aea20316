"""The model card of an exported model: what it is, how to load it, its figures, data and limits.

It holds counts and figures alone: no id, no report, no path of the machine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from echoclip_r.errors import CheckpointError
from echoclip_r.model.description import DESCRIPTION, Description, fingerprint_of
from echoclip_r.storage import read_json
from echoclip_r.text.codec import TextCodec

__all__ = ["model_card"]

_log = logging.getLogger(__name__)

_METRICS = "metrics.json"


def model_card(
    description: Description,
    *,
    codec: TextCodec,
    run: Path,
    evaluation: Path | None,
    our_towers: bool,
) -> str:
    """The model card as Markdown, with the block of YAML at its head that the Hub reads.

    Args:
        description: of the checkpoint.
        codec: its tokenizer.
        run: the folder of the run, in which its settings and perhaps an evaluation lie.
        evaluation: a folder of `evaluate`, or None.
        our_towers: whether open_clip has to be told of the image tower first.

    Raises:
        CheckpointError: `evaluation` holds no figures, or none of this model; or one of the files
            that are read is damaged.
    """
    training = description.training or {}
    title = str(training.get("recipe") or description.spec.towers)
    phantom = "phantom" in map(str, description.facts.get("tasks", ()))
    try:
        sections = [
            ("", _about(description, codec, title)),
            ("How to load it", _loading(codec, our_towers, description.spec.channels)),
            ("Figures", "\n".join(_figures(description, codec, run, evaluation))),
            ("Data", "\n".join(_data(description, run, phantom))),
            ("Limits", "\n".join(_limits(description, codec, phantom))),
            ("How it was made", "\n".join(_making(description, codec))),
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{run}: a file that the model card is made from is damaged ({type(error).__name__}: "
            f"{error}): {_METRICS}, config.json or splits.json there, {DESCRIPTION} of the "
            "checkpoint, or index.json of the shards; copy it again, or move it away"
        ) from error
    parts = [f"## {heading}\n\n{text}" if heading else text for heading, text in sections]
    head = (
        "---\nlibrary_name: open_clip\npipeline_tag: zero-shot-image-classification\n"
        "tags:\n- clip\n- echocardiography\n- medical\n---\n"
    )
    return f"{head}\n# {title}\n\n" + "\n\n".join(parts) + "\n"


def _about(description: Description, codec: TextCodec, title: str) -> str:
    imported = description.facts.get("imported")
    origin = (
        f"Its weights are those of `{imported['source']}`, and no training of ours is in them."
        if imported
        else f"It was trained with the recipe `{title}` of echoclip_r."
    )
    return (
        "A CLIP model for echocardiograms: an image tower that reads masked frames, and a text "
        f"tower that reads reports (towers `{description.spec.towers}`, tokenizer `{codec.name}`, "
        f"{codec.vocab_size:,} rows, context {codec.context_length}). {origin}"
    )


def _loading(codec: TextCodec, our_towers: bool, channels: str) -> str:
    lines = ["```python", "import open_clip"]
    if our_towers:
        lines += [
            "from echoclip_r.model.build import register  # this image tower is echoclip_r's own",
            "",
            "register()",
        ]
    lines += [
        "",
        'model, _, preprocess = open_clip.create_model_and_transforms("local-dir:FOLDER")',
        'tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")',
        "```",
        "",
    ]
    if codec.tokenizer is not None:
        lines.append(
            "The tokenizer needs `pip install echotok transformers`, and runs the two lines of "
            "`echotok_tokenizer.py`. open_clip mends mis-encoded letters and HTML signs (`&amp;`) "
            "in a text before any tokenizer sees it; echoclip_r does not."
        )
    if channels == "cine":
        lines.append(
            "Its pictures are not single frames: the channels are the brightness of frames i, i + "
            "n/3 and i + 2n/3 of a clip of n, read as a loop. `echoclip_r.model.channels.shown("
            'frames, "cine")` makes them, one for each frame; a clip is the mean of theirs.'
        )
    lines.append(
        "Frames are to be masked to the ultrasound sector first (`echoclip-r prepare`). In "
        "echoclip_r: `echoclip-r evaluate FOLDER ...`, or `echoclip-r import local-dir:FOLDER "
        "--out RUN`."
    )
    return "\n".join(lines)


def _figures(
    description: Description, codec: TextCodec, run: Path, evaluation: Path | None
) -> Iterator[str]:
    best = description.facts.get("best_validation")
    if best:
        n = int(best["num_clips"])
        yield (
            f"On the validation split, which chose this checkpoint: MCMRR {best['mcmrr']:.1f} of "
            f"{n:,} clips (chance about {(n + 1) / 2:.0f}), R@10 {100 * best['recall_at_10']:.1f} "
            "%, one frame a clip.\n"
        )
    found = _evaluated(fingerprint_of(description), run, evaluation)
    if found is None:
        yield (
            "It has not been evaluated on a test split (`echoclip-r evaluate`, then `echoclip-r "
            "export --evaluation DIR`)."
        )
        return
    content, name = found
    facts = content["facts"]
    yield (
        f"From `echoclip-r evaluate` on the split `{facts.get('split')}`, one prediction a "
        f"{facts.get('unit')}; intervals are of {facts.get('num_draws'):,} bootstrap draws by "
        "patient.\n"
    )
    yield "| data | task | figure | value (95 % interval) | chance or median guess | n |"
    yield "|---|---|---|---|---|---|"
    for one in content["outcomes"]:
        if one["model"] != name:
            continue
        for label, figure in one["figures"].items():
            chance = figure.get("chance")
            yield (
                f"| {_cell(one['dataset'])} | {_cell(one['title'])} | {label} | "
                f"{_number(figure.get('value'))} ({_number(figure.get('low'))} to "
                f"{_number(figure.get('high'))}) | {_number(chance)} | {one['num_items']:,} |"
            )


def _evaluated(
    fingerprint: str, run: Path, evaluation: Path | None
) -> tuple[Mapping[str, Any], str] | None:
    """The figures of an evaluation, and what the model is called there."""
    places = (
        [evaluation / _METRICS, evaluation]
        if evaluation is not None
        else [*sorted(run.glob(_METRICS)), *sorted(run.glob(f"*/{_METRICS}"))]
    )
    read = [content for path in places if (content := read_json(path)) is not None]
    for content in read:
        for name, facts in content.get("facts", {}).get("models", {}).items():
            if facts.get("fingerprint") == fingerprint:
                return content, str(name)
    if evaluation is not None and not read:
        raise CheckpointError(
            f"{evaluation}: it holds no {_METRICS}; give the --out of `echoclip-r evaluate`"
        )
    if evaluation is not None:
        raise CheckpointError(
            f"{evaluation}: its figures are of other models, or of other weights of this run; "
            "evaluate this checkpoint, or leave --evaluation out"
        )
    if read:
        _log.warning("an evaluation in %s is of other weights; the card leaves it out", run)
    return None


def _data(description: Description, run: Path, phantom: bool) -> Iterator[str]:
    if phantom:
        yield (
            "Simulated patients (echoclip_r's phantom): simulated clips, and reports that were "
            "written from the same findings. **No figure here is clinical evidence.**\n"
        )
    config = read_json(run / "config.json") or {}
    shards = read_json(Path(str(config.get("shards", ""))) / "index.json") or {}
    counts: dict[str, int] = {}
    for entry in shards.get("shards", ()):
        counts[entry["split"]] = counts.get(entry["split"], 0) + int(entry["num_clips"])
    patients = (read_json(run / "splits.json") or {}).get("num_patients", {})
    for split, number in counts.items():
        people = f" of {patients[split]:,} patients" if split in patients else ""
        yield f"- {split}: {number:,} clips{people}"
    if counts:
        yield "- No patient is in two splits; this was checked before training."
    sha256 = description.facts.get("data_sha256")
    if sha256:
        yield f"- sha256 of the shards' index: `{sha256}`"
    if not counts and not sha256:
        yield "Which data the weights were trained on is for their makers to say."
    elif not counts:
        yield "- How many clips and patients: the shards are no longer where they were."


def _limits(description: Description, codec: TextCodec, phantom: bool) -> Iterator[str]:
    yield "- It is for research. It is no medical device, and nothing here was tested in care."
    if phantom:
        yield "- It has seen no real echocardiogram, and knows nothing of one."
    yield "- It reads single masked frames; motion is seen only as the mean over frames."
    yield (
        f"- A text longer than {codec.context_length} tokens is cut "
        + ("between units." if codec.tokenizer is not None else "anywhere.")
    )
    yield (
        "- Lettering inside of the sector cannot be masked: figures may rest on what is written "
        "there, such as measurements."
    )
    yield "- Other hospitals' machines, patients and wordings than those of the data are untested."


def _making(description: Description, codec: TextCodec) -> Iterator[str]:
    facts = description.facts
    if (step := facts.get("step")) is not None and description.training is not None:
        yield f"- step {step:,}, epoch {facts.get('epoch', 0):.1f}"
    training = description.training or {}
    for name in ("batch_size", "epochs", "lr", "warmup_steps", "weight_decay", "seed"):
        if name in training:
            yield f"- {name}: {training[name]}"
    for name, number in facts.get("made_with", {}).items():
        yield f"- {name} {number}"
    yield f"- tokenizer {codec.name}, sha256 `{codec.fingerprint}`"
    yield f"- weights, sha256 `{facts.get('weights_sha256')}`"
    yield "- The licence is for those who made the weights and hold the data to state."


def _number(value: Any) -> str:
    return "-" if value is None else f"{float(value):.3g}"


def _cell(text: Any) -> str:
    return str(text).replace("|", "/").replace("\n", " ")
