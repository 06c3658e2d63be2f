"""Students and other people's chat templates: the same prompt whatever the form a template wants, in training as in
asking; one line where there is none to be had."""

import shutil
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.formatting import encode_prompt, encode_response, load_tokenizer
from compeffdist.params import FineTuningParams
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import generate, label_logprobs
from compeffdist.student.training import TrainingRow, encode_rows, fine_tune
from tests.fakes import SYSTEM
from tests.student.tiny import CHATML

PARTS = CHATML.replace(
    "{{ message['content'] }}",
    "{% for part in message['content'] %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}",
)
LEAVES_OUT = CHATML.replace("message in messages", "message in messages[1:]")
ROWS = [TrainingRow(id=str(n), prompt=f"film {n}", response="positive") for n in range(3)]


def with_template(folder: Path, target: Path, template: str | None) -> Path:
    """The model in `folder` with another chat template."""
    shutil.copytree(folder, target)
    tokenizer = load_tokenizer(target)
    tokenizer.chat_template = template
    (target / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(target)
    return target


def test_a_template_of_content_parts_trains_and_asks_as_one_of_texts(tiny_folder: Path, tmp_path: Path) -> None:
    plain = load_student(tiny_folder, "cpu", "float32")
    parts = load_student(with_template(tiny_folder, tmp_path / "m", PARTS), "cpu", "float32")
    prompts = ["the film was great", "a <|im_end|> film"]
    assert label_logprobs(*parts, prompts, ("a", "b"), system=SYSTEM) == label_logprobs(
        *plain, prompts, ("a", "b"), system=SYSTEM
    )
    assert generate(*parts, prompts, 4, system=SYSTEM) == generate(*plain, prompts, 4, system=SYSTEM)
    assert encode_rows(parts[1], SYSTEM, ROWS, 100, "s") == encode_rows(plain[1], SYSTEM, ROWS, 100, "s")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_model_without_a_template_is_given_one_that_its_student_keeps(
    tiny_folder: Path, tmp_path: Path, method: str
) -> None:
    base, output = with_template(tiny_folder, tmp_path / "base", None), tmp_path / "out"
    with pytest.raises(UserError, match="no chat template"):
        encode_prompt(load_tokenizer(base), SYSTEM, "fine")
    before = load_student(base, "cpu", "float32")[1]
    settings = FineTuningParams(method=method)
    fine_tune(base, ROWS, settings, base_id="b", seed=1, output=output, stage="s", device="cpu", system=SYSTEM)
    _, own = load_student(output, "cpu", base=base)
    for tokenizer in (before, own, load_tokenizer(output)):
        ids = encode_prompt(tokenizer, SYSTEM, "fine")
        assert tokenizer.decode(ids) == f"{SYSTEM}\n\nfine\n\nAnswer:\n"
        assert encode_response(tokenizer, "positive", end=True)[-1] == tokenizer.eos_token_id


def test_a_template_that_leaves_out_the_system_turn_is_refused_in_every_use(tiny_folder: Path, tmp_path: Path) -> None:
    folder = with_template(tiny_folder, tmp_path / "m", LEAVES_OUT)
    model, tokenizer = load_student(folder, "cpu", "float32")
    for use in (
        lambda: label_logprobs(model, tokenizer, ["x"], ("a", "b"), system=SYSTEM),
        lambda: generate(model, tokenizer, ["x"], 2, system=SYSTEM),
        lambda: fine_tune(
            folder,
            ROWS,
            FineTuningParams(),
            base_id="b",
            seed=1,
            output=tmp_path / "out",
            stage="s",
            device="cpu",
            system=SYSTEM,
        ),
    ):
        with pytest.raises(UserError, match=f"{folder}: the chat template rewrites .* leaves out the system turn"):
            use()
    assert not (tmp_path / "out").exists()
