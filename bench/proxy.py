"""How well difficulty can be predicted before the teacher is asked: inputs and heads on the same rows.

    python bench/proxy.py [--folder bench/proxy_rows] [--scored 400 800 1600] [--repeats 5] [--quick] [--lora 800]

Every candidate learns from the same scored part, drawn as the pipeline draws it, and predicts the other rows; the
figures are means over repeats, of order within an instruction, since that is what sampling uses. No input holds
anything of a row's own answer: openings are listed from all rows, but counted over scored ones only.

--folder is what bench/proxy_rows.py wrote (or, of a run: texts, instructions, pairs, triplets and scored.parquet with
models/warmup as warmup). What the student shows of the prompts is kept in --folder/features.npz; --quick leaves out
what takes longest. --lora N trains the student's body with a regression head on N rows, beside the proxy on the same;
it takes long, is ended with ^C and goes on where it was.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from proxy_lora import predict_with_lora
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV

from compeffdist.difficulty.scorer import nucleus_sizes
from compeffdist.domain import domain_here
from compeffdist.embedding import embed
from compeffdist.environment import quiet
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.models import cache_folder, model_folder, resolve_model
from compeffdist.params import DifficultyParams, ProxyParams, validate_params
from compeffdist.profiles import compose
from compeffdist.progress import Progress
from compeffdist.proxy.fitting import expected_scores, fit_proxy
from compeffdist.proxy.inputs import fit_view, means_by_instruction, rows_through
from compeffdist.proxy.mixed_ridge import fit_mixed_ridge
from compeffdist.proxy.openings import fit_openings
from compeffdist.proxy.predict_difficulty import Openings, scored_part
from compeffdist.proxy.prompt_features import PromptFeatures, prompt_row, read_prompts
from compeffdist.proxy.report import RATES, Compared, proxy_report
from compeffdist.record_files import read_records
from compeffdist.records import Pair, ScoredTriplet, Text, Triplet, by_id, content_id
from compeffdist.student.batching import TokenRow, collate, plan_batches
from compeffdist.student.head import split_model
from compeffdist.student.loading import load_student, student_id
from compeffdist.student.prediction import generate
from compeffdist.triplets.parts import SCORED, assign_parts

TOP_P, BUDGET, DRAFT_TOKENS = 0.95, 4096, 16


@dataclass(frozen=True)
class World:
    """Scored rows in one order, and all that a candidate may look at."""

    pairs: list[Pair]
    triplets: list[Triplet]
    direct: np.ndarray
    answers: np.ndarray
    """Place of each row's opening in its instruction's list: what `given` shows of scored rows."""
    inputs: dict[str, np.ndarray]
    """Name -> (rows, width)."""

    @property
    def groups(self) -> list[str]:
        return [pair.instruction_id for pair in self.pairs]

    @property
    def codes(self) -> np.ndarray:
        return np.unique(self.groups, return_inverse=True)[1]

    @property
    def ids(self) -> list[str]:
        return [pair.id for pair in self.pairs]

    def given(self, scored: np.ndarray) -> np.ndarray:
        """Places of the openings of scored rows, -1 for others."""
        return np.where(scored, self.answers, -1)

    def joined(self, names: Sequence[str]) -> np.ndarray:
        """Inputs side by side, less their instruction's means, in units of their deviation: one block as much as
        another, 1 together."""
        blocks = []
        for name in names:
            centred = (
                self.inputs[name] - means_by_instruction(self.inputs[name], self.codes, max(self.codes) + 1)[self.codes]
            )
            deviation = centred.std(axis=0)
            deviation[deviation == 0.0] = 1.0
            blocks.append(centred / deviation / np.sqrt(centred.shape[1] * len(names)))
        return np.concatenate(blocks, axis=1)

    def features(self, states: Sequence[str] = ("last",), signals: Sequence[str] = ("signals",)) -> PromptFeatures:
        """For the proxy, with some inputs as its states and signals."""
        own, also = (np.concatenate([self.inputs[name] for name in names], axis=1) for names in (states, signals))
        return PromptFeatures(own, also, self.inputs["log_p"], self.inputs["scores"])


Candidate = Callable[[World, np.ndarray], np.ndarray]
"""(world, which rows are scored) -> prediction for every row, in any unit that is the same within an instruction."""


def rest(world: World, scored: np.ndarray) -> np.ndarray:
    """Scores less the mean of their instruction's scored rows."""
    sums, counts = (np.bincount(world.codes, weights) for weights in (scored * world.direct, scored.astype(float)))
    found: np.ndarray = world.direct - (sums / np.maximum(counts, 1.0))[world.codes]
    return found


def shared_slopes(world: World, scored: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Ridge with the same slopes for all instructions."""
    x = world.joined(names)
    model = RidgeCV(np.logspace(-2, 4, 19), fit_intercept=False).fit(x[scored], rest(world, scored)[scored])
    predicted: np.ndarray = model.predict(x)
    return predicted


def own_slopes(world: World, scored: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Ridge with slopes of each instruction's own beside shared ones: one half of the proxy, without components."""
    x, codes = world.joined(names), world.codes
    fit = fit_mixed_ridge(x[scored], codes[scored], rest(world, scored)[scored], max(codes) + 1)
    return fit.predict(x, codes)


def boosted(world: World, scored: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Gradient boosting on inputs, told the instruction."""
    features = np.column_stack([world.joined(names), world.codes])
    model = HistGradientBoostingRegressor(
        max_iter=80,
        learning_rate=0.06,
        max_leaf_nodes=8,
        min_samples_leaf=15,
        categorical_features=[features.shape[1] - 1],
        random_state=0,
    )
    model.fit(features[scored], rest(world, scored)[scored])
    predicted: np.ndarray = model.predict(features)
    return predicted


def opening(world: World, scored: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Expected score of the answer's opening: the other half."""
    prompts, codes = world.features(names[:1], names[1:]), world.codes
    rows = rows_through(fit_view(prompts, codes, max(codes) + 1), prompts, codes)
    given = world.given(scored)
    known = np.flatnonzero(given >= 0)
    model = fit_openings(rows.x[known], rows.beliefs[known], codes[known], given[known], max(codes) + 1)
    return expected_scores(model, rows)


def oracle(world: World, scored: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The score of the opening that the answer does have, 0 if it is not listed: the most that can be known of it."""
    own = world.inputs["scores"][np.arange(len(scored)), world.answers]
    return np.where(world.answers >= 0, own, 0.0)


def proxy(world: World, scored: np.ndarray, names: Sequence[str], signals: Sequence[str] = ("signals",)) -> np.ndarray:
    """What the stage fits, with some inputs for its states and signals."""
    prompts = world.features(names, signals)
    direct = np.where(scored, world.direct, np.nan)
    fit = fit_proxy(prompts, world.groups, world.ids, world.given(scored), direct)
    return fit.proxy.predict(prompts, world.groups)


def with_lora(world: World, scored: np.ndarray, folder: Path) -> np.ndarray:
    """The student's body trained with a regression head."""
    return predict_with_lora(world, scored, rest(world, scored), folder / "warmup", folder)


THE_PROXY = partial(proxy, names=["last"])
CANDIDATES: list[tuple[str, partial[np.ndarray]]] = [
    ("length of the text, ridge", partial(shared_slopes, names=["length"])),
    ("sentence embedding of the text, ridge", partial(shared_slopes, names=["embedding"])),
    ("… boosted trees, told the instruction", partial(boosted, names=["embedding"])),
    ("… slopes of each instruction's own", partial(own_slopes, names=["embedding"])),
    ("signals at the first token, ridge", partial(shared_slopes, names=["signals"])),
    ("… boosted trees, told the instruction", partial(boosted, names=["signals"])),
    ("… slopes of each instruction's own", partial(own_slopes, names=["signals"])),
    ("last state, ridge", partial(shared_slopes, names=["last"])),
    ("… slopes of each instruction's own", partial(own_slopes, names=["last"])),
    ("mean of the prompt's states, own slopes", partial(own_slopes, names=["mean"])),
    ("uncertainty over a draft answer, own slopes", partial(own_slopes, names=["draft"])),
    ("last state and signals, ridge", partial(shared_slopes, names=["last", "signals"])),
    ("… slopes of each instruction's own", partial(own_slopes, names=["last", "signals"])),
    ("… boosted trees, told the instruction", partial(boosted, names=["last", "signals"])),
    ("… expected score of the opening", partial(opening, names=["last", "signals"])),
    ("both halves: the proxy", THE_PROXY),
    ("the score of the true opening: no proxy", partial(oracle, names=[])),
    ("the proxy with the mean state, too", partial(proxy, names=["last", "mean"])),
    ("the proxy with the embedding, too", partial(proxy, names=["last", "embedding"])),
    ("the proxy with the draft, too", partial(proxy, names=["last"], signals=["signals", "draft"])),
]


def main() -> None:
    arguments = parse_arguments()
    quiet()
    world = read_world(arguments.folder, arguments.quick)
    print(f"{len(world.pairs)} scored rows, {len(set(world.groups))} instructions, mean {world.direct.mean():.3f}")
    header = "".join(f" {f'gain at {rate:g}':>12}" for rate in RATES) + "".join(
        f" {f'overlap {r:g}':>12}" for r in RATES
    )
    print(f"{'':46}{'scored':>7} {'spearman':>9}{header}")
    for name, candidate in CANDIDATES if arguments.repeats else []:
        if not world.inputs.keys() >= {*candidate.keywords["names"], *candidate.keywords.get("signals", [])}:
            continue
        for count in arguments.scored:
            show(name, count, [judge(world, candidate, count, seed) for seed in range(arguments.repeats)])
    if arguments.lora:
        lora = partial(with_lora, folder=arguments.folder)
        show("LoRA on the body, last state", arguments.lora, [judge(world, lora, arguments.lora, 0)])
        show("the proxy on the same", arguments.lora, [judge(world, THE_PROXY, arguments.lora, 0)])


def judge(world: World, candidate: Candidate, count: int, seed: int) -> list[float]:
    """Spearman within instructions, gains, overlaps, on the rows that are not in the scored part."""
    params = DifficultyParams(mode="proxy", proxy=ProxyParams(rows=count))
    scored = np.array([pair.part == SCORED for pair in assign_parts(world.pairs, params, seed)])
    predicted = candidate(world, scored)
    left = np.flatnonzero(~scored)
    rows = Compared(
        [world.ids[i] for i in left], [world.groups[i] for i in left], predicted[left].astype(float), world.direct[left]
    )
    report = proxy_report(rows, count, len(world.pairs), seed=0)
    rates = report["rates"].values()
    return [
        report["spearman_within_instruction"]["value"] or 0.0,
        *(rate["gain"] for rate in rates),
        *(rate["overlap"] for rate in rates),
    ]


def show(name: str, count: int, figures: list[list[float]]) -> None:
    means, spread = np.mean(figures, axis=0), np.std(figures, axis=0)
    cells = "".join(f" {mean:6.3f}±{deviation:.3f}" for mean, deviation in zip(means, spread, strict=True))
    print(f"{name:46}{count:>7}{cells}", flush=True)


# ---------------------------------------------------------------- what candidates look at


def read_world(folder: Path, quick: bool) -> World:
    scored = scored_part(
        read_records(folder / "triplets.parquet", Triplet), read_records(folder / "scored.parquet", ScoredTriplet)
    )
    scored.sort(key=lambda row: row[0].pair_id)
    pairs, texts = (
        by_id(read_records(folder / "pairs.parquet", Pair)),
        by_id(read_records(folder / "texts.parquet", Text)),
    )
    triplets = [triplet for triplet, _ in scored]
    kept = folder / "features.npz"
    own = np.array(
        [content_id("features", {"student": student_id(folder / "warmup"), "rows": [t.id for t in triplets]})]
    )
    if kept.exists():
        with np.load(kept) as file:
            inputs = {name: file[name] for name in file.files}
        if not np.array_equal(inputs.pop("of", None), own):
            raise SystemExit(f"{kept} is of other rows or another student; delete it")
    else:
        inputs = inputs_of(folder, triplets, [texts[row.text_id].text for row in triplets], quick)
        if not quick:
            arrays: dict[str, Any] = {**inputs}
            np.savez(kept, of=own, **arrays)
    direct = np.array([score.ranking for _, score in scored])
    answers = inputs.pop("answers")[:, 0]
    return World([pairs[row.pair_id] for row in triplets], triplets, direct, answers, inputs)


def inputs_of(folder: Path, triplets: list[Triplet], texts: list[str], quick: bool) -> dict[str, np.ndarray]:
    """Everything the warmed-up student and the embedder have to say of the prompts."""
    model, tokenizer = load_student(folder / "warmup")
    prompts = [encode_prompt(tokenizer, domain_here().system_prompts.student, row.prompt) for row in triplets]
    openings = Openings(tokenizer, triplets)
    rows = [
        prompt_row(row.pair_id, ids, openings.of(row.instruction_id))
        for row, ids in zip(triplets, prompts, strict=True)
    ]
    with Progress("prompts", len(rows)) as progress:
        features = read_prompts(model, rows, top_p=TOP_P, token_budget=BUDGET, progress=progress)
    params = validate_params(compose("smoke"), "profiles/smoke.yaml")
    cache = cache_folder(params.runtime.cache)
    embedder = model_folder(resolve_model("embedder", params.models.embedder, cache), cache)
    inputs = {
        "answers": np.array([[openings.given(row.pair_id, row.instruction_id)] for row in triplets]),
        "length": np.log([[len(text)] for text in texts]).astype(np.float32),
        "embedding": embed(texts, embedder, "auto"),
        "last": features.states,
        "signals": features.signals,
        "log_p": features.log_p,
        "scores": features.scores,
    }
    if quick:
        return inputs
    return inputs | {"mean": mean_states(model, prompts), "draft": drafts(model, tokenizer, triplets, prompts)}


def mean_states(model: Any, prompts: list[list[int]]) -> np.ndarray:
    """Mean last hidden state over each prompt."""
    import torch

    parts = split_model(model)
    rows = [TokenRow(str(place), ids, [0]) for place, ids in enumerate(prompts)]
    found = np.empty((len(rows), parts.weight.shape[1]), np.float32)
    with torch.inference_mode(), Progress("means", len(rows)) as progress:
        for batch in plan_batches(rows, BUDGET, share=False):
            chosen = [rows[index] for index in batch.rows]
            hidden = parts.hidden(collate(chosen)[0]).float()
            inside = torch.tensor([[float(t < row.width) for t in range(hidden.shape[1])] for row in chosen])
            found[list(batch.rows)] = ((hidden * inside[..., None]).sum(1) / inside.sum(1, keepdim=True)).numpy()
            progress.advance(len(chosen))
    return found


def drafts(model: Any, tokenizer: Any, triplets: list[Triplet], prompts: list[list[int]]) -> np.ndarray:
    """Of the student's greedy answer: mean and largest entropy, mean log nucleus, mean and smallest confidence,
    log length."""
    import torch

    with Progress("drafts", len(triplets)) as progress:
        texts = generate(
            model,
            tokenizer,
            [row.prompt for row in triplets],
            DRAFT_TOKENS,
            system=domain_here().system_prompts.student,
            progress=progress,
        )
    parts = split_model(model)
    answers = [encode_response(tokenizer, text, end=True) for text in texts]
    rows = [TokenRow(str(place), ids, answer) for place, (ids, answer) in enumerate(zip(prompts, answers, strict=True))]
    found = np.empty((len(rows), 6), np.float32)
    with torch.inference_mode(), Progress("drafts, read", len(rows)) as progress:
        for batch in plan_batches(rows, BUDGET, share=False):
            chosen = [rows[index] for index in batch.rows]
            ids, places, _ = collate(chosen)
            logits = parts.logits(parts.hidden(ids)[places[0], places[1]])
            log_p = logits.log_softmax(1)
            entropy, confidence = -(log_p.exp() * log_p).sum(1), log_p.exp().max(1).values
            nucleus = nucleus_sizes(logits, TOP_P, torch.float64).log()
            lengths = [len(row.response_ids) for row in chosen]
            pieces = zip(*(column.split(lengths) for column in (entropy, nucleus, confidence)), strict=True)
            for index, (e, n, c) in zip(batch.rows, pieces, strict=True):
                found[index] = [e.mean(), e.max(), n.mean(), c.mean(), c.min(), np.log(len(e))]
            progress.advance(len(chosen))
    return found


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("bench/proxy_rows"))
    parser.add_argument("--scored", type=int, nargs="+", default=[400, 800, 1600])
    parser.add_argument("--repeats", type=int, default=5, help="random scored parts; 0: --lora alone")
    parser.add_argument("--quick", action="store_true", help="leave out what takes longest: mean states and drafts")
    parser.add_argument("--lora", type=int, help="rows to train the student's body on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
