"""What a cue reaches: which mentions are denied, doubted, of the past, or could not be told.

A cue before reaches over a list (`no MR, TR, or AS`) until a member is said in its own right: with
a grade, a number, a verb or a predicate of its own. A cue behind reaches back in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from echotok.findings.lexicon import Mark
from echotok.findings.mentions import Mention

__all__ = ["Status", "Verdict", "judge"]

Status = Literal["present", "absent", "possible", "prior", "not_assessed"]

_LISTS = frozenset((",", ";", "and", "or"))
_SEPARATORS = _LISTS | {"stop", "with"}
_PREDICATES = frozenset(("normal", "high", "low"))
_ENDS = frozenset((",", ";", "stop"))
_ANSWERS = frozenset((":", "-", "?", "("))
_BEFORE = ("deny_before", "doubt_before", "past_before", "past_noun", "unseen_before", "others")
_BEHIND = ("deny_behind", "doubt_behind", "past_behind", "unseen_behind", "affirm_behind")


class Verdict(NamedTuple):
    """A mention's status, and the marks of the cues that made it."""

    status: Status
    cues: tuple[int, ...]
    others: bool = False
    denied: bool = False


def judge(
    marks: Sequence[Mark], mentions: Sequence[Mention], *, size: int, prior: bool
) -> list[Verdict]:
    """The status of each mention of a sentence.

    Args:
        marks: of the sentence.
        mentions: of the sentence.
        size: pieces of the sentence, a closing stop left out.
        prior: the section is about before: history, indication.
    """
    # "Indication: chest pain. Atrial fibrillation was present during the study."
    prior = prior and not any("this_study" in mark.cues for mark in marks)
    anchors = {mention.anchor for mention in mentions} | {
        mention.also for mention in mentions if mention.also >= 0
    }
    graded = {mention.grade_mark: mention for mention in mentions}
    reaches: dict[str, list[tuple[int, int, int]]] = {}  # kind -> (cue, from, up to)
    compared = comparing = False
    for at, mark in enumerate(marks):
        cues = mark.cues
        comparing = "comparison" in cues or (comparing and not cues & _SEPARATORS)
        if not cues:
            if mark.number == "0" and at and marks[at - 1].cues & _ANSWERS and at - 2 in anchors:
                reaches.setdefault("deny_field", []).append(
                    (at, _back(marks, at, anchors, "deny_field"), at)
                )
            continue
        if cues & {"comparison", "past_before"}:
            compared = True
        if comparing and "comparison" not in cues and cues & {"past_before", "past_behind"}:
            continue  # "compared with the study of last year": which study, and no finding
        if "?" in cues and (
            mark.first == 0 or (at and marks[at - 1].cues & _SEPARATORS and at - 1 not in anchors)
        ):
            reaches.setdefault("doubt_before", []).append(
                (at, at, _ahead(marks, at, anchors, "doubt_before"))
            )
            continue
        answer = at > 0 and (bool(marks[at - 1].cues & _ANSWERS) or at - 1 in anchors)
        if "deny_field" in cues and (answer or _follows(marks, at, anchors)):
            last = mark.end >= size or (
                at + 1 < len(marks)
                and marks[at + 1].first == mark.end
                and bool(marks[at + 1].cues & (_SEPARATORS | {")"}))
            )
            if last or "deny_before" not in cues:
                start = _back(marks, at, anchors, "deny_field")
                reaches.setdefault("deny_field", []).append((at, start, at))
                continue
        # Some stand on either side: `possible AS`, `AS possible`.
        ahead = _anchored(marks, at, anchors) or not any(index < at for index in anchors)
        either = any(kind in cues for kind in _BEFORE) and any(kind in cues for kind in _BEHIND)
        for kind in _BEFORE:
            if kind in cues and (ahead or not either):
                if kind == "deny_before" and (
                    _denies_grade(marks, at, graded, anchors) or _denies_change(marks, at, anchors)
                ):
                    continue
                end = _ahead(marks, at, anchors, kind)
                if kind == "past_noun" and _now(marks, at, end, anchors):
                    continue
                reaches.setdefault(kind, []).append((at, at, end))
        for kind in _BEHIND:
            if kind in cues and not (ahead and either):
                reaches.setdefault(kind, []).append((at, _back(marks, at, anchors, kind), at))
        if comparing and ":" in cues and at and "comparison" in marks[at - 1].cues:
            # "Compared with the prior study: RVSP was 68 mmHg"
            end = next((i for i in range(at + 1, len(marks)) if marks[i].cues & _ENDS), len(marks))
            if any(marks[i].past for i in range(at + 1, end)):
                reaches.setdefault("past_when", []).append((at - 1, at, end))
        if "past_when" in cues and compared:
            end = next((i for i in range(at + 1, len(marks)) if marks[i].cues & _ENDS), len(marks))
            reaches.setdefault("past_when", []).append((at, at, end))
    return [_verdict(mention, reaches, prior=prior) for mention in mentions]


def _verdict(
    mention: Mention, reaches: dict[str, list[tuple[int, int, int]]], *, prior: bool
) -> Verdict:
    anchor, also = mention.anchor, mention.also
    if not reaches:
        if mention.prior or prior:
            return Verdict("prior", (), denied=mention.denied)
        return Verdict("absent" if mention.denied else "present", (), denied=mention.denied)

    def reached(*kinds: str) -> list[int]:
        return [
            cue
            for kind in kinds
            if kind in reaches
            for cue, start, end in reaches[kind]
            if start <= anchor < end or start <= also < end
        ]

    before, behind = reached("deny_before"), reached("deny_behind")
    answer = reached("deny_field")
    # "Was there on the prior study and is no longer seen" is about now, too.
    past = [cue for cue in reached("past_behind") if not any(cue < later for later in behind)]
    past += reached("past_when")
    # "The previously noted effusion has resolved" is about now.
    past += reached("past_before", "past_noun") if not behind else []
    unseen = reached("unseen_before", "unseen_behind")
    doubt = reached("doubt_before", "doubt_behind")
    others = reached("others")
    denials = bool(before) + bool(behind) if not answer else 1
    denied = (denials + mention.denied) % 2 == 1
    if mention.prior or prior or past:
        return Verdict("prior", tuple(past), denied=denied)
    if unseen:
        return Verdict("not_assessed", tuple(unseen))
    cues = (*before, *behind, *answer, *others)
    if denied:
        return Verdict("absent", cues, bool(others), True)
    if doubt:
        return Verdict("possible", tuple(doubt))
    return Verdict("present", cues, bool(others))


def _follows(marks: Sequence[Mark], at: int, anchors: set[int]) -> bool:
    """Whether an answer stands alone behind a verb: `is none`."""
    return at > 0 and bool(marks[at - 1].cues & {"verb", ","}) and at - 2 in anchors


def _denies_grade(
    marks: Sequence[Mark], at: int, graded: dict[int, Mention], anchors: set[int]
) -> bool:
    """`MR is not severe` denies the grade, not the regurgitation."""
    mention = graded.get(at + 1)
    if mention is None or mention.anchor > at or at + 1 in anchors:
        return False
    mention.grade_high = mention.grade
    mention.grade_low = mention.grade = None
    return True


def _denies_change(marks: Sequence[Mark], at: int, anchors: set[int]) -> bool:
    """`no MR progression` denies that there is more of it."""
    first = next((index for index in range(at + 1, len(marks)) if index in anchors), len(marks))
    return (
        first + 1 < len(marks)
        and "change" in marks[first + 1].cues
        and marks[first + 1].first == marks[first].end
    )


def _anchored(marks: Sequence[Mark], at: int, anchors: set[int]) -> bool:
    """Whether a mention follows a cue in its segment."""
    for index in range(at + 1, len(marks)):
        if index in anchors:
            return True
        if marks[index].cues & (_SEPARATORS | {"verb", ")"}):
            return False
    return False


def _segment(marks: Sequence[Mark], at: int) -> Sequence[Mark]:
    """The marks behind a separator at `at`, up to the next one."""
    end = at + 1
    while end < len(marks) and not marks[end].cues & _SEPARATORS:
        end += 1
    return marks[at + 1 : end]


def _ahead(marks: Sequence[Mark], at: int, anchors: set[int], kind: str) -> int:
    """Up to which mark a cue before reaches."""
    consumed = told = False
    for index in range(at + 1, len(marks)):
        cues = marks[index].cues
        # "The study of last year showed MR, moderate AS": the verb holds for the whole list.
        told = told or (kind == "past_before" and not consumed and "verb" in cues)
        if "stop" in cues or (";" in cues and kind == "past_before"):
            return index
        if "now" in cues and kind in ("past_before", "past_noun"):
            return index
        if consumed and _clause(marks, index):
            return index
        # The nearest cue governs; a denial ends what is doubted or past.
        if kind in cues or (consumed and "not_a_denial" in cues):
            return index
        if kind != "deny_before" and consumed and "deny_before" in cues:
            return index
        unknown = index == at + 1 and cues & _SEPARATORS and marks[index].first > marks[at].end
        # "No oedema; a small effusion": something that the rules do not know was denied.
        consumed = consumed or bool(unknown)
        if consumed and cues & _SEPARATORS:
            verb = any("verb" in mark.cues for mark in _segment(marks, index))
            if verb if told else _own_right(marks, index):
                return index
        if index in anchors or marks[index].state:
            consumed = True
    return len(marks)


def _clause(marks: Sequence[Mark], at: int) -> bool:
    """Whether a clause begins without any sign, as where a line end was lost: `LV dilated`."""
    return (
        bool(marks[at].structures)
        and at + 1 < len(marks)
        and marks[at + 1].first == marks[at].end
        and marks[at + 1].state.endswith(("ed", "ic"))
        and not marks[at - 1].cues & _SEPARATORS
    )


def _own_right(marks: Sequence[Mark], at: int) -> bool:
    """Whether what follows a separator is said in its own right."""
    segment = _segment(marks, at)
    if not segment:
        return False
    cues, first = marks[at].cues, segment[0]
    verb = any("verb" in mark.cues for mark in segment)
    if first.cues & {"deny_before", "doubt_before", "affirm_behind", "not_a_denial"}:
        return True
    if "with" in cues:
        return (
            first.grade is not None or bool(first.number) or bool(first.cues & _PREDICATES) or verb
        )
    if "or" in cues:
        return verb and not any("deny_behind" in mark.cues for mark in segment)
    behind = at + 1 + len(segment)
    if "," in cues and behind < len(marks) and "with" in marks[behind].cues:
        return True  # "no thrombi, PFO with a shunt"
    if (
        "," in cues
        and first.first > marks[at].end
        and any("seen" in mark.cues for mark in segment)
        and not (behind < len(marks) and marks[behind].cues & _LISTS)
    ):
        return True  # "without effusion, a lead is seen"
    for index, mark in enumerate(segment):
        if mark.grade is not None or mark.number or mark.cues & (_PREDICATES | {"affirm_behind"}):
            return True
        if mark.state.endswith(("ed", "ic")) and (index or (segment[1:] and segment[1].structures)):
            return True
    return verb


def _back(marks: Sequence[Mark], at: int, anchors: set[int], kind: str) -> int:
    """From which mark on a cue behind reaches."""
    consumed, index = False, at - 1
    # "was present before and is no longer seen": what is said first is of another time.
    elided = index > 0 and "and" in marks[index].cues and marks[index].end == marks[at].first
    while index >= 0:
        cues = marks[index].cues
        said = cues & {"deny_behind", "deny_field", "affirm_behind", "unseen_behind"}
        # "was not present on the prior study": what was so before may itself be a denial.
        if "stop" in cues or (
            said and (consumed or (kind != "past_behind" and not (elided and index < at - 1)))
        ):
            break
        if cues & {"deny_before"} and index != at - 1:
            break
        listed = cues & {",", "and", "or"} and _bare_before(marks, index, anchors)
        if consumed and cues & (_SEPARATORS | {"verb"}) and not listed:
            break
        if index in anchors:
            consumed = True
        index -= 1
    return index + 1


def _bare_before(marks: Sequence[Mark], at: int, anchors: set[int]) -> bool:
    """Whether the member of a list before a separator has nothing of its own."""
    index, named = at - 1, False
    while index >= 0 and not marks[index].cues & _SEPARATORS:
        mark = marks[index]
        if (
            mark.grade is not None
            or mark.number
            or mark.cues
            & (
                _PREDICATES
                | {"verb", "seen", "deny_field", "deny_behind", "affirm_behind", ":", "-"}
            )
        ):
            return False
        named = named or index in anchors or bool(mark.structures)
        index -= 1
    return named


def _now(marks: Sequence[Mark], at: int, end: int, anchors: set[int]) -> bool:
    """Whether a sentence says how a thing that was seen before is today."""
    consumed = False
    for index in range(at + 1, len(marks)):
        cues = marks[index].cues
        if index in anchors:
            consumed = True
        if consumed and cues & {"verb", "deny_behind", "affirm_behind", "seen"}:
            return True
        if consumed and cues & _SEPARATORS:
            return False
    return False
