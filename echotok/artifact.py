"""A tokenizer as one JSON file that names itself (I6).

    {"format": "echotok-tokenizer", "format_version": 1, "name": "echo", "table": {...},
     "values": [[id, slot, text, rank, retired], ...],
     "phrases": [[id, text, section, since, retired], ...],
     "fallback": {"kind": "domain", "merges": ["t h", ...]}
                 or {"kind": "clip", "sha256": ..., "merges": [those beyond CLIP's]},
                 a domain fallback with a compact base also has "base": "abc...", one that does
                 not join words with what stands beside them has "joins": false,
     "probe": {"text": ..., "ids": [...]}, "sha256": ...}

`sha256` covers everything else and is the tokenizer's fingerprint. The probe is encoded anew when
the file is loaded, so that a changed engine cannot pass for the same tokenizer. CLIP's merges are
named by their hash; the file does not contain them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echotok.clip_merges import CLIP_MERGES_SHA256
from echotok.errors import ArtifactError
from echotok.table.fallback import Fallback
from echotok.table.phrases import BUILT_IN_SLOTS, Phrase, PhraseTable, parse_phrase
from echotok.table.values import EnumValue, NumberCode

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "find",
    "fingerprint",
    "pack",
    "read",
    "shipped",
    "unpack_fallback",
    "unpack_table",
    "write",
]

FORMAT = "echotok-tokenizer"
FORMAT_VERSION = 1
# No spaces: the artifacts are a seventh of the wheel.
_TIGHT = (",", ":")
_TABLE_FIELDS = (
    "name",
    "version",
    "locale",
    "licence",
    "provenance",
    "units",
    "slots",
    "phrase_capacity",
    "value_capacity",
    "num_merges",
)


def pack(name: str, table: PhraseTable, fallback: Fallback) -> dict[str, Any]:
    """The content of an artifact, without its probe and its hash.

    Args:
        name: what the tokenizer is called.
        table: a checked table.
        fallback: what encodes the text that no phrase covers.
    """
    head = {field: _plain(getattr(table, field)) for field in _TABLE_FIELDS}
    if table.numbers is not None:
        head["numbers"] = {
            "starts": list(table.numbers.starts),
            "continues": list(table.numbers.continues),
        }
    if table.closings:
        head["closings"] = table.closings
    if table.severity is not None:
        head["severity"] = list(table.severity)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "table": head,
        "values": [
            [value.id, value.slot, value.text, value.rank, value.retired] for value in table.values
        ],
        "phrases": [
            [phrase.id, phrase.text, phrase.section, phrase.since, phrase.retired]
            for phrase in table.phrases
        ],
        "fallback": _pack_fallback(fallback),
    }


def _pack_fallback(fallback: Fallback) -> dict[str, Any]:
    merges = [" ".join(pair) for pair in fallback.merges]
    more: dict[str, Any] = {} if fallback.joins else {"joins": False}
    if fallback.kind == "clip":
        return {"kind": "clip", "sha256": CLIP_MERGES_SHA256, **more, "merges": merges}
    if fallback.base is not None:
        more["base"] = fallback.base
    return {"kind": "domain", **more, "merges": merges}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def unpack_table(content: Mapping[str, Any]) -> PhraseTable:
    """The phrase table inside an artifact's content."""
    head = dict(content["table"])
    head["units"] = tuple(head["units"])
    if "numbers" in head:
        head["numbers"] = NumberCode(
            **{role: tuple(texts) for role, texts in head["numbers"].items()}
        )
    if "severity" in head:
        head["severity"] = tuple(head["severity"])
    slots = (*BUILT_IN_SLOTS, *head["slots"])
    for rows, capacity in (("values", "value_capacity"), ("phrases", "phrase_capacity")):
        for row in content[rows]:
            if not 0 <= row[0] < head[capacity]:
                raise ValueError(f"an id in {rows} is outside of its capacity {head[capacity]}")
    return PhraseTable(
        **head,
        values=tuple(
            EnumValue(id=number, slot=slot, text=text, rank=rank, retired=retired)
            for number, slot, text, rank, retired in content["values"]
        ),
        phrases=tuple(
            Phrase(
                id=number,
                text=text,
                items=parse_phrase(text, slots=slots, units=head["units"]),
                section=section,
                since=since,
                retired=retired,
            )
            for number, text, section, since, retired in content["phrases"]
        ),
    )


def unpack_fallback(content: Mapping[str, Any], *, merges: bool = True) -> Fallback:
    """The fallback inside an artifact's content.

    Args:
        content: what `read` gives.
        merges: whether the merges are wanted, too; to pair them takes some time.

    Raises:
        ValueError: CLIP's merges are not the known ones, or a merge is not a pair.
    """
    packed = content["fallback"]
    if packed["kind"] == "clip" and packed["sha256"] != CLIP_MERGES_SHA256:
        raise ValueError("unknown CLIP merges")
    return Fallback(
        kind=packed["kind"],
        merges=tuple(_pair(line) for line in packed["merges"]) if merges else (),
        base=packed.get("base"),
        joins=packed.get("joins", True),
    )


def _pair(line: str) -> tuple[str, str]:
    left, right = line.split(" ")
    return left, right


def fingerprint(content: Mapping[str, Any]) -> str:
    """The sha256 of everything in the content except the hash itself."""
    body = {key: value for key, value in content.items() if key != "sha256"}
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=True, separators=_TIGHT)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def write(content: Mapping[str, Any], path: Path | str) -> None:
    """Write an artifact; an interrupted write leaves no half file behind."""
    from echotok.text_files import write_whole  # takes a while that `import echotok` need not

    # One row a line, so that a changed table reads as a diff.
    lines = []
    for key, value in content.items():
        text = json.dumps(value, ensure_ascii=False, separators=_TIGHT)
        if isinstance(value, list) and value:
            rows = ",\n".join(
                json.dumps(row, ensure_ascii=False, separators=_TIGHT) for row in value
            )
            text = f"[\n{rows}\n ]"
        lines.append(f' "{key}": {text}')
    write_whole(path, "{\n" + ",\n".join(lines) + "\n}\n")


def shipped() -> dict[str, Path]:
    """The artifacts that ship with echotok, by name."""
    folder = Path(__file__).parent / "artifacts"
    return {path.name.removesuffix(".json"): path for path in folder.iterdir()}


def find(name_or_path: Path | str) -> Path:
    """Find an artifact by its path, or by the name of a tokenizer that ships with echotok.

    Raises:
        ArtifactError: there is neither such a tokenizer nor such a file.
    """
    known = shipped()
    if (found := known.get(str(name_or_path))) is not None:
        return found
    path = Path(name_or_path)
    if not path.exists():
        names = ", ".join(sorted(known))
        raise ArtifactError(
            f"no tokenizer {str(name_or_path)!r}: echotok ships {names}, and there is "
            "no such file; make one with `echotok build TABLE_DIR --out ARTIFACT`"
        )
    return path


def read(path: Path | str) -> dict[str, Any]:
    """Read an artifact and check its format, version and hash.

    Raises:
        ArtifactError: the file is not an artifact, has another format version, or was damaged or
            edited.
    """
    if isinstance(path, str):
        path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "its bytes"
        raise ArtifactError(
            f"{path} is damaged: not JSON at {where}; build it again with `echotok build`, or "
            "install echotok again if it came with it"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} is not a tokenizer artifact (no '{FORMAT}' at its head); make one from a "
            "table folder with `echotok build TABLE_DIR --out ARTIFACT`"
        )
    if content.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format version {content.get('format_version')!r}; this echotok reads "
            f"version {FORMAT_VERSION}. Install the echotok that wrote it, or build it again"
        )
    found = fingerprint(content)
    if content.get("sha256") != found:
        raise ArtifactError(
            f"{path} was damaged or edited: its sha256 is {found[:12]}..., the file says "
            f"{str(content.get('sha256'))[:12]}.... Edit the table folder, not the artifact, and "
            "build it again"
        )
    return content
