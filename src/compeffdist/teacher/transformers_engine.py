"""The teacher in this process, through transformers: the fallback where no server can run.

Slower than a server by several times (padded batches, no prefix cache) but exact in the same way. A sampled answer
depends on its own seed only, not on what else is in its batch: each row adds Gumbel noise from a generator of its own
and takes the maximum.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.utils import logging

from compeffdist.errors import UserError
from compeffdist.labels import LabelTrie
from compeffdist.models import ModelIdentity
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.precision import affordable_dtype, resolve_device
from compeffdist.teacher.chat import TOO_LONG, ChatTokenizer, json_grammar
from compeffdist.teacher.engine import OnAnswer, OnFailure, RequestFailed
from compeffdist.teacher.replies import kept_text
from compeffdist.teacher.requests import LENGTH, STOP, Answer, Request
from compeffdist.teacher.spending import Meter, Spent, generation_at_most, passes_at_most

Numbered = tuple[int, Request, list[int]]
"""Index, request, prompt ids."""


class TransformersEngine:
    """The model in `folder`, loaded when first asked. A batch holds `runtime.token_budget` tokens at most."""

    name = "transformers"

    def __init__(
        self, model: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None
    ) -> None:
        assert folder is not None
        self.folder, self.dtype, self.starts, self.meter = folder, model.dtype, 0, Meter()
        self.max_model_len, self.token_budget = teacher.max_model_len, runtime.token_budget
        self.device = resolve_device(runtime.device)
        self.chat = ChatTokenizer(folder)
        self.model: Any = None
        self.compiler: Any = None

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """See `Engine.answer`. Batches are of like length, shortest first."""
        self._load()
        numbered: list[Numbered] = []
        for index, request in enumerate(requests):
            ids = self.chat.prompt_ids(request.system, request.prompt)
            if len(ids) + request.max_tokens > self.max_model_len:
                on_failure(index, TOO_LONG)
            else:
                numbered.append((index, request, ids))
        numbered.sort(key=lambda row: (bool(row[1].labels), row[1].max_tokens, len(row[2]), row[0]))
        with torch.inference_mode():
            for batch in self._batches([row for row in numbered if not row[1].labels]):
                self._generate(batch, on_answer, on_failure)
            for batch in self._batches([row for row in numbered if row[1].labels]):
                self._likelihoods(batch, on_answer, on_failure)

    def at_most(self, request: Request) -> Spent:
        """See `Engine.at_most`."""
        if not request.labels:
            return generation_at_most(request)
        try:
            return passes_at_most(request, len(self.chat.trie(request.labels).branches))
        except ValueError:  # told when it is asked; nothing is computed
            return Spent()

    def close(self) -> None:
        """Free the model's memory."""
        self.model = self.compiler = None

    def _load(self) -> None:
        if self.model is not None:
            return
        logging.disable_progress_bar()
        dtype = getattr(torch, affordable_dtype(self.dtype, self.device == "cpu"))
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(self.folder, dtype=dtype, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder}: the teacher cannot be loaded: {error}") from None
        self.model, self.starts = model.to(self.device).eval(), self.starts + 1

    def _batches(self, rows: Sequence[Numbered]) -> Iterator[list[Numbered]]:
        batch: list[Numbered] = []
        for row in rows:
            longest = max(len(r[2]) + r[1].max_tokens for r in (*batch, row))
            if batch and longest * (len(batch) + 1) > self.token_budget:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _generate(self, batch: Sequence[Numbered], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        requests = [request for _, request, _ in batch]
        ids, mask = self._pad([row for _, _, row in batch])
        # the sampling defaults a model ships with are not part of a request's id, so none of them apply
        config = GenerationConfig(
            max_new_tokens=max(request.max_tokens for request in requests),
            do_sample=False,
            eos_token_id=self.chat.end,
            pad_token_id=self.chat.end,
        )
        processors = [RowDecoding(requests, [self._matcher(r) for r in requests], ids.shape[1])]
        output = self.model.generate(ids, attention_mask=mask, generation_config=config, logits_processor=processors)
        for (index, request, prompt), row in zip(batch, output[:, ids.shape[1] :].tolist(), strict=True):
            try:
                answer = self._read(row, request, len(prompt))
            except RequestFailed as failure:
                on_failure(index, str(failure))
            else:
                on_answer(index, answer)

    def _read(self, row: list[int], request: Request, prompt_tokens: int) -> Answer:
        ended = self.chat.end in row[: request.max_tokens]
        tokens = row[: row.index(self.chat.end)] if ended else row[: request.max_tokens]
        self.meter.count(prompt_tokens, 0, len(tokens) + ended)
        finish = STOP if ended else LENGTH
        text = kept_text(self.chat.decode(tokens), finish)
        return Answer(text, None, prompt_tokens, 0, len(tokens) + ended, finish)

    def _likelihoods(self, batch: Sequence[Numbered], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """One forward pass over the branches of all requests in the batch."""
        tries: dict[int, LabelTrie] = {}
        for index, request, _ in batch:
            try:
                tries[index] = self.chat.trie(request.labels)
            except ValueError as error:
                on_failure(index, str(error))
        rows = [(i, [*ids, *branch.path]) for i, _, ids in batch if i in tries for branch in tries[i].branches]
        logits = iter(self._last_logits([ids for _, ids in rows]))
        for index, trie in tries.items():
            children = [next(logits)[list(branch.children)].tolist() for branch in trie.branches]
            tokens = sum(len(ids) for i, ids in rows if i == index)
            self.meter.count(tokens, 0, len(children), calls=len(children))
            try:
                logprobs = trie.log_probabilities(children)
            except ValueError as error:
                on_failure(index, str(error))
            else:
                on_answer(index, Answer.of_labels(logprobs, tokens, 0, len(children)))

    def _last_logits(self, rows: Sequence[list[int]]) -> torch.Tensor:
        """Next-token logits after each row of ids: (rows, vocabulary), float32."""
        if not rows:
            return torch.empty(0, 0)
        ids, mask = self._pad(rows)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        output = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1)
        return output.logits[:, -1].float()

    def _pad(self, rows: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and attention mask, padded on the left: each (rows, longest)."""
        longest = max(map(len, rows))
        ids = [[self.chat.end] * (longest - len(row)) + row for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    def _matcher(self, request: Request) -> Any:
        """Follows the output and knows which tokens the schema allows next; None for free text."""
        if not request.schema:
            return None
        import xgrammar

        if self.compiler is None:
            info = xgrammar.TokenizerInfo.from_huggingface(
                self.chat.tokenizer, vocab_size=self.model.config.vocab_size, stop_token_ids=[self.chat.end]
            )
            self.compiler = xgrammar.GrammarCompiler(info)
        return xgrammar.GrammarMatcher(self.compiler.compile_grammar(json_grammar(request.schema)))


class RowDecoding:
    """A logits processor that gives each row of a batch its own schema, temperature, top-p and seed: greedy decoding of
    the scores it returns takes the token that the row's settings ask for."""

    def __init__(self, requests: Sequence[Request], matchers: Sequence[Any], prompt_length: int) -> None:
        self.requests, self.matchers, self.prompt_length = requests, matchers, prompt_length
        self.generators = [torch.Generator().manual_seed(request.seed) for request in requests]

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """ids (rows, so far) and scores (rows, vocabulary) -> scores (rows, vocabulary)."""
        scores = scores.float()
        for row, (request, matcher) in enumerate(zip(self.requests, self.matchers, strict=True)):
            if matcher is not None:
                self._constrain(matcher, ids[row], scores[row : row + 1])
            if request.temperature:
                scores[row] = self._sampled(scores[row], request, self.generators[row])
        return scores

    def _constrain(self, matcher: Any, ids: torch.Tensor, scores: torch.Tensor) -> None:
        import xgrammar

        if len(ids) > self.prompt_length and not matcher.is_terminated():
            matcher.accept_token(int(ids[-1]))
        if matcher.is_terminated():
            return
        allowed = xgrammar.allocate_token_bitmask(1, scores.shape[1])
        matcher.fill_next_token_bitmask(allowed)
        xgrammar.apply_token_bitmask_inplace(scores, allowed.to(scores.device))

    def _sampled(self, scores: torch.Tensor, request: Request, generator: torch.Generator) -> torch.Tensor:
        logprobs = torch.log_softmax(scores / request.temperature, dim=-1)
        ordered, order = logprobs.sort(descending=True)
        probabilities = ordered.exp()
        outside = order[probabilities.cumsum(-1) - probabilities >= request.top_p]
        logprobs[outside] = float("-inf")
        uniform = torch.rand(len(scores), generator=generator, dtype=torch.float64).clamp(min=1e-300)
        return logprobs - (-uniform.log()).log().to(logprobs)
