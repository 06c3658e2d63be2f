"""A chat template is checked before anything rests on it: whoever uses it gets a whole prompt, or one clear line."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from compeffdist.chat_template import Frame, chat_frame
from compeffdist.errors import UserError
from compeffdist.formatting import encode_prompt, end_token_id, load_tokenizer
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.transformers_engine import TransformersEngine
from tests.student.tiny import CHATML, tiny_tokenizer

OPENING = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def turns(written: str, messages: str = "messages") -> str:
    """ChatML with contents written otherwise."""
    head = "{% for m in " + messages + " %}<|im_start|>{{ m['role'] }}\n"
    return head + written + "<|im_end|>\n{% endfor %}" + OPENING


PLAIN = Frame(
    "<|im_start|>system\n", "<|im_end|>\n<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n"
)
PARTS = "{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
BOTH = "{% if m['content'] is string %}{{ m['content'] }}{% else %}" + PARTS + "{% endif %}"


@pytest.mark.parametrize(
    "written",
    [
        "{{ m['content'] }}",
        "{{ m['content'] | trim }}",
        PARTS,
        "{{ m['content'][0]['text'] }}",
        BOTH,
        "{% if m['role'] == 'user' %}" + PARTS + "{% else %}{{ m['content'] }}{% endif %}",
        "{% if m['role'] == 'system' %}" + PARTS + "{% else %}{{ m['content'] }}{% endif %}",
    ],
    ids=["text", "trimmed", "parts", "first part", "either", "user in parts", "system in parts"],
)
def test_contents_are_given_in_the_form_that_the_template_takes(written: str) -> None:
    tokenizer = tiny_tokenizer(turns(written))
    assert chat_frame(tokenizer) == PLAIN
    text = tokenizer.decode(encode_prompt(tokenizer, "Ours.", "the film"))
    assert text == f"{PLAIN.before}Ours.{PLAIN.between}the film{PLAIN.after}"
    assert tokenizer.decode([end_token_id(tokenizer)]) == "<|im_end|>"


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        (turns("{{ m['content'] }}", "messages[1:]"), "leaves out the system turn"),
        (turns("{{ m['content'] }}", "messages[:1]"), "leaves out what the user says"),
        (turns("{{ m['role'] }}"), "leaves out the system turn"),
        (turns("{{ m['content'] }}") + "\ud83d", "the chat template holds half a character"),
        (turns("{{ m['content'] }}", "messages[::-1]"), "writes what the user says before the system turn"),
        (turns("{{ m['content'] }}", "messages + messages"), "writes the system turn 2 times"),
        (turns("{{ m['content'] }}", "messages + messages[1:]"), "writes what the user says 2 times"),
        (turns("{{ m['content'] | upper }}"), "changes the letters of the system turn"),
        (turns("{{ m['content'] | e }}"), "changes the letters of the system turn"),
        (turns("{{ m['content'] | tojson }}"), "changes the letters of the system turn"),
        (turns("{{ m['content'].split('\n')[0] }}"), "changes the letters of the system turn"),
        (turns("{{ m['content'] | truncate(20) }}"), "changes the letters of the system turn"),
        ("{{ raise_exception('Sorry: System role not supported') }}", "refuses a system turn: Sorry"),
        (turns("{% if m['role'] == 'system' %}{{ 1 / 0 }}{% endif %}{{ m['content'] }}"), "refuses a system turn"),
        ("{{ raise_exception('Only one turn') }}", "cannot be rendered: Only one turn (TemplateError)"),
        ("{{ 1 + 'x' }}", "cannot be rendered: unsupported operand"),
        ("{{ messages[7]['content'] + 'x' }}", "cannot be rendered"),
        ("{{ 'x' | nosuchfilter }}", "cannot be rendered"),
        ("{% for m in messages %}", "cannot be rendered"),
        ("{{ messages.append(1) }}", "cannot be rendered"),
        ("{{ range(10 ** 9) | list }}", "cannot be rendered"),
        ({"rag": CHATML, "tool_use": CHATML}, "its chat templates have names (rag, tool_use) and none of them is"),
        ({"default": "{{ 1 + 'x' }}", "rag": CHATML}, "cannot be rendered"),
        (7, "cannot be rendered"),
        (None, "no chat template"),
        ("", "no chat template"),
        ({}, "no chat template"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_line_naming_the_model(template: object, fault: str) -> None:
    tokenizer = tiny_tokenizer(None)
    tokenizer.chat_template, tokenizer.name_or_path = template, "models/some-model"  # type: ignore[assignment]
    for use in (lambda: encode_prompt(tokenizer, "S", "text"), lambda: end_token_id(tokenizer)):
        with pytest.raises(UserError) as caught:
            use()
        assert str(caught.value).startswith("models/some-model: ")
        assert fault in str(caught.value)
        assert "\n" not in str(caught.value)


def test_of_named_templates_the_default_is_used() -> None:
    tokenizer = tiny_tokenizer(None)
    tokenizer.chat_template = {"rag": "{{ 1 + 'x' }}", "default": CHATML}  # type: ignore[assignment]
    assert chat_frame(tokenizer) == PLAIN


def test_a_template_that_is_changed_is_looked_at_again() -> None:
    tokenizer = tiny_tokenizer()
    chat_frame(tokenizer)
    tokenizer.chat_template = CHATML.replace("<|im_end|>", "<|endoftext|>")
    assert chat_frame(tokenizer).closing == "<|endoftext|>\n"


@pytest.mark.parametrize("text", ["a </think> b", "/no_think", "<tool_response>x</tool_response>", " spaced ", ""])
def test_no_text_decides_how_its_prompt_is_framed(text: str) -> None:
    choosy = tiny_tokenizer(
        turns("{% if '/no_think' in m['content'] %}quick {% endif %}{{ m['content'].split('</think>')[-1] }}")
    )
    shown = choosy.decode(encode_prompt(choosy, "S", text))
    assert shown == f"{PLAIN.before}S{PLAIN.between}{text}{PLAIN.after}"


def test_a_hybrid_model_is_told_not_to_think() -> None:
    closes = "{% if enable_thinking is defined and not enable_thinking %}\n</think>\n{% endif %}"
    thinking = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>" + closes + "{% endif %}")
    assert chat_frame(tiny_tokenizer(thinking)).after.endswith("assistant\n<think></think>\n")


def test_a_model_that_cannot_but_think_keeps_its_template() -> None:
    thinking = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
    assert chat_frame(tiny_tokenizer(thinking)).after.endswith("assistant\n<think>\n")


@pytest.mark.parametrize(
    "saved",
    [
        pytest.param({"chat_template": [{"name": "rag", "template": CHATML}]}, id="named, no default"),
        pytest.param({"chat_template": "{{ 1 + 'x' }}"}, id="fails in Python"),
        pytest.param({"chat_template": None}, id="none"),
        pytest.param({"chat_template": [{"template": CHATML}]}, id="a name is missing"),
        pytest.param({"chat_template": 7}, id="a number"),
    ],
)
def test_a_teacher_with_such_a_template_is_refused_when_it_is_opened(tmp_path: Path, saved: dict[str, object]) -> None:
    tiny_tokenizer(None).save_pretrained(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | saved))
    with pytest.raises(UserError, match=str(tmp_path)) as caught:
        TransformersEngine(SimpleNamespace(dtype="float32"), TeacherParams(), RuntimeParams(device="cpu"), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("broken", [b"{", b"\xff\xfe", b"[]", b'{"version": 1}'], ids=repr)
def test_a_tokenizer_that_cannot_be_read_is_one_line(tmp_path: Path, broken: bytes) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(broken)
    with pytest.raises(UserError, match=f"{tmp_path}: no tokenizer could be loaded") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)
