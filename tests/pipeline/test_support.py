"""The smoke profile end to end on support tickets that the test writes: another domain, and no code. Its teacher is a
server that answers by schema, its student a folder of tiny weights: those of `test_smoke.py` are real. Minutes.

python -m pytest -m pipeline tests/pipeline/test_support.py
"""

import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from compeffdist.record_files import read_records
from compeffdist.records import Triplet
from compeffdist.teacher.store import stored_rows
from tests.asked import WORDS_OF_SENTIMENT
from tests.chaos.teacher import teaching
from tests.pipeline.checkout import Checkout, Subfolder
from tests.pipeline.test_smoke import accounts
from tests.student.tiny import tiny_model_folder

pytestmark = pytest.mark.pipeline

PRODUCTS = ("router", "printer", "laptop", "mail server", "web shop", "scanner")
FAULTS = ("drops the connection every hour", "shows error 42 at start", "is very slow since the last update")
TRIED = ("I have restarted it twice.", "We swapped the cable.", "Nothing was tried so far.")
QUESTION = "How urgently does the ticket ask for help?"
URGENCIES = {"can wait": "Next month is fine.", "soon": "This week, please.", "at once": "Everybody here is blocked!"}


def write_tickets(folder: Path) -> None:
    """Tickets to learn from, and others to be judged by."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = itertools.product(PRODUCTS, FAULTS, TRIED, URGENCIES.items())
    tickets = [(f"The {product} {fault}. {tried} {wish}", label) for product, fault, tried, (label, wish) in kinds]
    asked = [
        {"text": f"Hello, ticket {n}: my {product} has gone dark today. {wish}", "label": label}
        for n, (product, (label, wish)) in enumerate(itertools.product(PRODUCTS, URGENCIES.items()))
    ]
    for name, rows in (("tickets", [{"text": text} for text, _ in tickets]), ("judged", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """One finished run on tickets."""
    with teaching() as (server, _):
        yield made_with(server.url, tmp_path_factory.mktemp("support"))


def made_with(teacher: str, folder: Path) -> Checkout:
    made = Subfolder(folder)
    made.run("compeffdist", "profile", "smoke")
    write_tickets(made.folder / "data/sources")
    path = made.folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["domain"] = "support"
    params["texts"]["sources"] = [
        {"name": "tickets", "kind": "jsonl", "location": "tickets.jsonl", "domain": "ticket", "licence": "own"}
    ]
    params["models"]["teacher"] = {"reference": ["api:schema@test"], "licence": "none"}
    tiny_model_folder(made.folder / "models/local/tiny")
    params["models"]["student"] = {"reference": ["path:models/local/tiny"], "licence": "none"}
    params["teacher"]["engine"] = "openai"
    params["runtime"]["openai_base_url"] = teacher
    for gate in params["gates"].values():  # its answers have a form, and no sense
        gate["action"] = "warn"
    params["tasks"]["own"] = [{"name": "device", "question": "Which device is it about?", "labels": [*PRODUCTS]}]
    params["evaluation"]["tasks"] = [
        {"name": "urgency", "location": "judged.jsonl", "labels": [*URGENCIES], "rows": 12}
    ]
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    made.run("dvc", "repro")
    return made


def test_no_question_to_the_teacher_speaks_of_sentiment(checkout: Checkout) -> None:
    rows = [row for row, _ in stored_rows(checkout.folder / ".compeffdist/answers.sqlite")]
    # a task is asked for, and asked, in words that the teacher itself found in a ticket, such as "negative"
    found = {word.casefold() for row in rows for word in WORDS_OF_SENTIMENT.findall(row.answer)}
    assert rows
    for row in rows:
        said = {word.casefold() for word in WORDS_OF_SENTIMENT.findall(row.request)}
        assert said <= found - {"sentiment", "polarity"}, row.request


def test_the_domain_s_question_is_asked_with_its_own_labels(checkout: Checkout) -> None:
    rows = [row for row, _ in stored_rows(checkout.folder / ".compeffdist/answers.sqlite")]
    asked = [json.loads(row.request) for row in rows]
    urgent = [one for one in asked if one["labels"] and one["prompt"].startswith(QUESTION)]
    assert urgent and all(one["labels"] == [*URGENCIES] for one in urgent)


def test_every_record_is_accounted_for_and_texts_have_the_domain_s_label(checkout: Checkout) -> None:
    for path in (checkout.folder / "metrics").glob("*.json"):
        for records in accounts(json.loads(path.read_text())):
            assert records["in"] == records["out"] + records["rejected"], path.name
    triplets = read_records(checkout.folder / "data/triplets.parquet", Triplet)
    assert {triplet.monitored for triplet in triplets} <= {*URGENCIES, None}
    assert sum(checkout.read("metrics/collect_responses.json")["monitored"].values()) > 0


def test_the_registered_student_asks_the_domain_s_question(checkout: Checkout) -> None:
    plain = json.loads(checkout.run("compeffdist", "predict", "--text", "The router is dead.", "--json").stdout)
    assert plain["urgency"] in URGENCIES and set(plain["probabilities"]) == set(URGENCIES)
    own = ("--question", "Is it about hardware?", "--labels", "yes,no")
    closed = json.loads(checkout.run("compeffdist", "predict", "--text", "The router is dead.", *own, "--json").stdout)
    assert closed["label"] in ("yes", "no") and "urgency" not in closed
    free = json.loads(checkout.run("compeffdist", "predict", "--prompt", "Say something.", "--json").stdout)
    assert isinstance(free["answer"], str)
    tasks = checkout.run("compeffdist", "predict", "--list-tasks").stdout
    assert tasks.splitlines()[0] == "urgency: can wait, soon or at once"


def test_the_data_of_a_folder_within_a_repository_is_audited_by_its_history(checkout: Checkout) -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=checkout.folder, text=True).strip()
    assert head in checkout.run("compeffdist", "trace", "models:/compeffdist-student/1").stdout
    assert checkout.run("compeffdist", "audit").stdout.splitlines()[-1].startswith("audit PASS")


def test_the_table_is_of_the_domain_s_own_question(checkout: Checkout) -> None:
    evaluation = json.loads(checkout.run("compeffdist", "results", "--json").stdout)["evaluation"]
    assert evaluation["tasks"]["urgency"]["prompt"].startswith(QUESTION)
