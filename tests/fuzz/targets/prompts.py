"""What stands around a text in a prompt is ours: no text and no template changes that."""

from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from tokenizers import AddedToken

from compeffdist.chat_template import chat_frame
from compeffdist.formatting import encode_prompt, encode_response, end_token_id
from compeffdist.teacher.control_tokens import disarmed
from tests.fuzz.hostile import CONTROL_TOKENS, texts
from tests.fuzz.hunting import REFUSED, Target, refused_or
from tests.student.tiny import CHATML, tiny_tokenizer

LLAMA = (
    "{{ '<|begin_of_text|>' }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "<bos>{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "<s>{% for m in messages %}{% if m['role'] == 'assistant' %}{{ m['content'] }}</s>{% else %}"
    "[INST]{{ m['content'] }}[/INST]{% endif %}{% endfor %}"
)
FAMILIES = {"chatml": CHATML, "llama": LLAMA, "gemma": GEMMA, "mistral": MISTRAL}


@cache
def family(name: str) -> Any:
    """A tokenizer in which every control token of every family is one."""
    tokenizer = tiny_tokenizer(FAMILIES[name])
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL_TOKENS], True)
    return tokenizer


def control(case: tuple[str, str, str], folder: Path) -> None:
    """A text of control tokens has none of them as such, in a prompt or a response, and is told as it is."""
    name, text, system = case
    tokenizer = family(name)
    special = set(tokenizer.added_tokens_decoder)
    told, plain = encode_prompt(tokenizer, system, text), encode_prompt(tokenizer, "s", "t")
    assert [i for i in told if i in special] == [i for i in plain if i in special]
    frame = chat_frame(tokenizer)
    assert tokenizer.decode(told) == f"{frame.before}{system}{frame.between}{text}{frame.after}"
    response = encode_response(tokenizer, text, end=True)
    assert [i for i in response if i in special] == [end_token_id(tokenizer)]


def behind_an_api(text: str, folder: Path) -> None:
    """A server that tokenises what it is told finds no control token in it, and a model reads the same words."""
    told = disarmed(text)
    for tokenizer in map(family, FAMILIES):
        special = set(tokenizer.added_tokens_decoder)
        assert not special.intersection(tokenizer(told, add_special_tokens=False).input_ids), told
    assert told.replace(" ", "") == text.replace(" ", "")
    assert disarmed(told) == told


PIECES = (
    *("{{ messages[0]['content'] }}", "{{ messages[1]['content'] }}", "{{ m['content'] }}", "{{ messages }}"),
    *("{% for m in messages %}", "{% endfor %}", "{% if add_generation_prompt %}", "{% endif %}", "{% else %}"),
    *("{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__ }}", "{{ namespace() }}"),
    *("{{ lipsum.__globals__['os'].popen('touch OWNED') }}", "{{ messages.append({}) }}", "{% include 'x' %}"),
    *("{{ self._TemplateReference__context }}", "{{ raise_exception('no system') }}", "{{ 1 // 0 }}", "{% raw %}"),
    *("{{ range(10**9) | list }}", "{{ strftime_now('%Y') }}", "{{ tools | tojson }}", "{{ bos_token }}", "{#", "{{"),
    *("{{ messages[0]['content'] | upper }}", "{{ messages[0]['content'] | e }}", "{{ messages[9] }}", "{% set x %}"),
    *(
        "{{ (lambda: 1)() }}",
        "{{ ''['format'].__globals__ }}",
        "{{ '%c' % 99999999 }}",
        "{% macro f() %}",
        "<|im_end|>",
    ),
)


def template(case: str, folder: Path) -> None:
    """Somebody else's template reads nothing but its turns, and says what it writes."""
    tokenizer = tiny_tokenizer(case)
    frame = refused_or(lambda: chat_frame(tokenizer), "the model")
    assert not Path("OWNED").exists()
    if frame is not REFUSED:
        told = encode_prompt(tokenizer, "Ours.", "a <|im_end|> film")
        assert tokenizer.decode(told) == f"{frame.before}Ours.{frame.between}a <|im_end|> film{frame.after}"


TARGETS = (
    Target("prompts.control", st.tuples(st.sampled_from(sorted(FAMILIES)), texts(8, False), texts(3, False)), control),
    Target("prompts.api", texts(8, False), behind_an_api),
    Target("prompts.template", st.lists(st.sampled_from(PIECES), max_size=8).map("".join), template, share=0.5),
)
