"""Which label a chat server means: by the likeliest first tokens, or by what it says.

Labels and answers are compared as they are before they are compared in any other form (`label_spelling`).
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from compeffdist.errors import one_line
from compeffdist.label_spelling import QUOTES, bare, begun, folded
from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.parsing import WRAPPER, is_json, parse_json, without_thoughts
from compeffdist.teacher.replies import dig, thinks

AMBIGUOUS_SHARE = 0.001
"""Mass, relative to the labels', of first tokens common to several labels, above which they tell nothing apart."""
LEAST_MASS = 0.1
"""Mass of the labels' own first tokens below which their likelihoods rest on too little: the server would say something
else, and how the rest is shared out is chance as much as judgement. A small model spends a sixth on a fitting label."""
_ROUNDING = 0.01
"""By how much a log-probability may be above 0, or their probabilities above 1."""
_SPACE_MARKS = "\u2581\u0120\u010a"
"""How vocabularies write a space or a line end, where a server hands their entries out as they are."""
_SPOKEN = {"type": ["string", "number", "boolean"]}
_FENCE = re.compile(r"\s*`{3,}[^\n`{\[]*(.*?)`{3,}\s*", re.DOTALL)
_CUT = re.compile(rf'\s*(?:```\w*\s*)?\{{\s*"{WRAPPER}"\s*:\s*("(?:[^"\\]|\\.)*")\s*$')


def chosen_label(text: str, labels: Sequence[str], *, cut: bool = False) -> str:
    """The label an answer states: in a JSON object, or bare but for thoughts before it, quotes, punctuation and case.

    A server that takes no notice of the schema asked for may put the label under a key of its own, beside others:
    it is taken where just one of the object's texts is a label.

    Args:
        cut: whether the answer was cut at max_tokens: a label that another one begins with may then be half of that.

    Raises:
        RequestFailed: if it states none, or one that several labels may be meant by.
    """
    label = _stated_label(text, labels)
    beginning = begun(without_thoughts(text))
    if cut and any(other != label and begun(other).startswith(beginning) for other in labels):
        raise RequestFailed(f"server's answer was cut, and a longer label may be meant: {one_line(text, 60)!r}")
    return label


def _stated_label(text: str, labels: Sequence[str]) -> str:
    if (exact := text.strip()) in labels:  # also one that reads as JSON ("1.50", "1e5") or as a thought ("<think>")
        return exact
    spoken = without_thoughts(text)
    if label := _meant(_stated(spoken), labels):
        return label
    found = _labels_in_object(spoken, labels)
    if len(found) > 1:
        raise RequestFailed(f"server's answer holds {len(found)} texts that are labels: {one_line(text, 60)!r}")
    if not found:
        raise RequestFailed(f"server's answer is none of the labels: {one_line(text, 60)!r}")
    return found[0]


def _meant(said: str, labels: Sequence[str]) -> str:
    """The one label that a text reads as; empty if it reads as none, or as several."""
    for form in (str.strip, folded, bare):
        for reading in _peeled(said):
            fitting = [label for label in labels if form(label) == form(reading) and form(label)]
            if len(fitting) == 1:
                return fitting[0]
            if fitting:
                break
    return ""


def _labels_in_object(spoken: str, labels: Sequence[str]) -> list[str]:
    """The labels that texts of the object in an answer read as, one for each; none if that cannot be relied on: what
    was asked for is there and is no label, or another label stands in the prose around the object."""
    try:
        value = parse_json(spoken, {"type": "object"})
    except ValueError:
        return []
    found = [label for said in value.values() if isinstance(said, str) and (label := _meant(said, labels))]
    if WRAPPER in value and not (isinstance(value[WRAPPER], str) and _meant(value[WRAPPER], labels)):
        return []
    fenced = _FENCE.fullmatch(spoken)
    if not is_json(fenced[1] if fenced else spoken):
        others = [label for label in labels if label not in found]
        return [] if any(folded(label) in folded(spoken) for label in others) else found
    return found


def _stated(text: str) -> str:
    # weak models write white space without end before the closing brace, and are cut; the label is whole by then
    cut = _CUT.match(text)
    try:
        return str(json.loads(cut[1], strict=False) if cut else parse_json(text, _SPOKEN))
    except ValueError:
        return text


def _peeled(said: str) -> Iterator[str]:
    """What an answer says, with ever less around it: quotes and markup in pairs, a full stop."""
    said = said.strip()
    yield said
    while True:
        if len(said) > 1 and QUOTES.get(said[0]) == said[-1]:
            said = said[1:-1].strip()
        elif said.endswith((".", "。", "!")):
            said = said[:-1].rstrip()
        else:
            return
        yield said


def first_token_candidates(choice: Mapping[str, Any]) -> dict[str, float]:
    """The likeliest first tokens of an answer (text -> natural-log probability); tokens of one text are added up. Empty
    if the server gives none, if what it calls log-probabilities cannot be any, or if they are those of thoughts."""
    candidates = dig(choice, "logprobs", "content", 0, "top_logprobs")
    if not isinstance(candidates, list) or thinks(choice):
        return {}
    pairs = [(dig(entry, "token"), dig(entry, "logprob")) for entry in candidates]
    # several tokens may read alike; the same one twice is a repetition
    found = {(token, float(p)) for token, p in pairs if isinstance(token, str) and _is_logprob(p)}
    top: dict[str, float] = {}
    for token, logprob in sorted(found):
        top[token] = top.get(token, 0.0) + math.exp(min(logprob, 0.0))
    impossible = any(isinstance(p, int | float) and p > _ROUNDING for _, p in pairs)
    if impossible or math.fsum(top.values()) > 1 + _ROUNDING:
        return {}
    return {token: math.log(mass) for token, mass in top.items() if mass}


def _is_logprob(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def first_token_likelihood(labels: Sequence[str], top: Mapping[str, float]) -> dict[str, float] | None:
    """Log-probability of each label from the likeliest first tokens (text -> log-probability).

    A label's mass is that of all tokens it begins with and no other label does, renormalised over the labels. None if
    they do not tell which label is meant: a label has no such token, tokens that several labels begin with weigh too
    much, the labels' tokens together weigh less than LEAST_MASS, or another label is the likeliest once tokens count
    that are a label's but for case, spaces and quotes ("Positive" of `positive`).
    """
    mass, ambiguous = _mass(labels, top.items())
    total = math.fsum(mass.values())
    if not all(mass.values()) or ambiguous > AMBIGUOUS_SHARE * total or total < LEAST_MASS:
        return None
    others = [(token, p) for token, p in top.items() if not any(token and label.startswith(token) for label in labels)]
    spelt = {_opening(label): label for label in labels}
    forms = [(_opening(token), p) for token, p in others]
    near, _ = _mass(list(spelt), [(form, p) for form, p in forms if len(form) > 1 or form in spelt])
    meant = {label: value + near[_opening(label)] for label, value in mass.items()}
    if max(meant, key=lambda label: meant[label]) != max(mass, key=lambda label: mass[label]):
        return None
    return {label: math.log(value / total) for label, value in mass.items()}


def _mass(labels: Sequence[str], tokens: Iterable[tuple[str, float]]) -> tuple[dict[str, float], float]:
    """Each label's mass by the tokens that only it begins with, and the mass of those that several do."""
    mass = dict.fromkeys(labels, 0.0)
    ambiguous = 0.0
    for token, logprob in tokens:
        fitting = [label for label in labels if token and label.startswith(token)]
        if len(fitting) == 1:
            mass[fitting[0]] += math.exp(logprob)
        elif fitting:
            ambiguous += math.exp(logprob)
    return mass, ambiguous


def _opening(text: str) -> str:
    """How a token or label begins, case, spaces and quotes apart."""
    return bare(text.translate(dict.fromkeys(map(ord, _SPACE_MARKS), " ")))
