"""Settings: dataclass fields that carry their own range, checked and compared by that alone.

A field says what it takes where it is declared:

    lr: float = field(default=5e-5, metadata=rule(above=0, may_change=True))

`check` holds the values of an object against their fields, `Setting.parse` reads one from the
command line, and `fixed_differences` names what a resumed run may not change.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from echoclip_r.errors import OptionError

__all__ = ["Setting", "check", "fixed_differences", "rule", "settings_of"]

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_FLAGS = {"true": True, "false": False}


def rule(
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] = (),
    why: str = "",
    may_change: bool = False,
    called: str = "",
    settable: bool = True,
) -> Mapping[str, Any]:
    """The metadata of a setting's field.

    Args:
        least: the smallest value.
        most: the largest value, given together with `least`.
        above: the value must be greater than this.
        choices: the only texts that it takes.
        why: the reason for the range, as the message goes on.
        may_change: whether a run may go on with another value.
        called: the name on the command line, where it is not the field's.
        settable: whether the command line sets it by its name alone.
    """
    return dict(locals())


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A number, text or flag among the fields of a settings class.

    Attributes:
        name: what the command line and messages call it.
        field: the name of its field.
        kinds: the types that it takes.
        rule: as `rule` gave it; empty for any value of these types.
    """

    name: str
    field: str
    kinds: tuple[type, ...]
    rule: Mapping[str, Any]

    def parse(self, cell: str) -> Any:
        """A value as the command line gives it: `none`, `true` or `false`, a number or a text.

        Raises:
            OptionError: the setting takes another kind of value.
        """
        if cell.lower() == "none" and type(None) in self.kinds:
            return None
        kind = self.kinds[0]
        if kind is str:
            return cell
        try:
            value = _FLAGS[cell.lower()] if kind is bool else kind(cell)
            if kind is float and not math.isfinite(value):
                raise ValueError("not a finite number")
        except (KeyError, ValueError):
            raise OptionError(
                f"setting {self.name}={cell}: {self.name} takes {_WORDS[kind]}"
            ) from None
        return value

    def check(self, value: Any) -> None:
        """Check a value's kind and range.

        JSON and callers give whole numbers for decimal ones, which is fine; a text is not.

        Raises:
            OptionError: it is of another kind, or out of range; the message says what is taken.
        """
        if type(value) not in self.kinds and not (float in self.kinds and type(value) is int):
            words = " or ".join(_WORDS.get(kind, "none") for kind in self.kinds)
            raise OptionError(f"{self.name} is {value!r}; it takes {words}")
        wanted = None if value is None else self._unmet(value)
        if wanted is not None:
            or_none = " or none" if type(None) in self.kinds else ""
            raise OptionError(f"{self.name} is {value!r}; it must be {wanted}{or_none}")

    def _unmet(self, value: Any) -> str | None:
        """What a value must be and is not, or None where it keeps the rule."""
        if not self.rule:
            return None
        least, most, above = self.rule["least"], self.rule["most"], self.rule["above"]
        wanted = None
        if self.rule["choices"] and value not in self.rule["choices"]:
            wanted = f"one of {', '.join(self.rule['choices'])}"
        elif above is not None and not value > above:
            wanted = f"above {above}"
        elif most is not None and not least <= value <= most:
            wanted = f"{least} to {most}"
        elif least is not None and not value >= least:
            wanted = f"{least} or more"
        return None if wanted is None else f"{wanted}{self.rule['why']}"


def settings_of(kind: type) -> Mapping[str, Setting]:
    """The numbers, texts and flags of a settings class, by name; fields of other kinds are not."""
    hints = typing.get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        kinds = typing.get_args(hints[field.name]) or (hints[field.name],)
        if {*kinds} <= {*_WORDS, type(None)}:
            name = field.metadata.get("called") or field.name
            found[name] = Setting(name=name, field=field.name, kinds=kinds, rule=field.metadata)
    return found


def check(settings: Any) -> None:
    """Check every number, text and flag of a settings object.

    Raises:
        OptionError: a value is of another kind, or out of its range.
    """
    for setting in settings_of(type(settings)).values():
        setting.check(getattr(settings, setting.field))


def fixed_differences(before: Any, after: Any) -> Iterator[str]:
    """What differs between two settings objects of one class and may not change in a run."""
    for field in dataclasses.fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new or field.metadata.get("may_change"):
            continue
        if dataclasses.is_dataclass(old) and type(old) is type(new):
            yield from fixed_differences(old, new)
        else:
            yield f"{field.metadata.get('called') or field.name} was {old!r} and is {new!r}"
