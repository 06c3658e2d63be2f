"""The bounds of the gates."""

from typing import Annotated, Literal

from pydantic import Field

from compeffdist.params.sections import NonNegativeInt, PositiveFloat, PositiveInt, Probability, Section

MOST_TIMES = 1e6
"""More of something than this for each of something else is a slip of the keyboard."""


class GateParams(Section):
    """What every gate has. Its bounds decide nothing but whether the run goes on: changing one re-runs the check
    alone."""

    action: Literal["stop", "warn"] = "stop"
    """What a breach does: `stop` ends the run there; `warn` lets it go on and marks the model version."""


class TextsGateParams(GateParams):
    """Nothing to set but the action: ids, accounts and decontamination hold or do not."""


class ClustersGateParams(GateParams):
    """Perspectives that are neither one heap nor one attribute each."""

    fewest_per_root: Annotated[float, Field(gt=0.0, le=MOST_TIMES)] = 0.5
    """Perspectives at least, per square root of the vocabulary, rounded down and never below 1 (18 attributes: 2;
    1,800: 21). Fewer: the clustering has collapsed."""
    most_per_attribute: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Perspectives at most, per attribute, rounded up. More: it has exploded. The paper's release has 0.10."""
    largest_share: Probability = 0.7
    """Share of the attributes in the largest perspective, at most. More: one perspective holds nearly all."""
    singleton_share: Probability = 0.5
    """Share of the perspectives with one attribute, at most. More: most names were left alone."""
    coherence: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.4
    """Cosine similarity of attributes to their exemplar, mean over mentions, at least. Less: members do not belong
    together."""
    member_coherence: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.4
    """The same, each attribute that follows another counting once: mean over all of them, at least; and of one
    perspective, below which it is a heap. Of the 1,786 published attributes 0.4 is what the most alike 5% of all pairs
    have, their perspectives have 0.68 in the mean and the loosest 0.49 (MiniLM)."""
    heaps_share: Probability = 0.1
    """Share of the perspectives that are heaps, at most."""
    top_attribute_share: Probability = 0.5
    """Share of all counts held by the most frequent attribute, at most. More: the teacher says one thing of every
    text."""
    counted_once_share: Probability = 0.9
    """Share of the attributes counted once, at most. More: the vocabulary is mostly chance; see
    attributes.more_than."""


class TasksGateParams(GateParams):
    """Tasks that can be asked and checked."""

    idle_perspectives: Probability = 0.5
    """Share of the perspectives without a task, at most. More: the teacher could not write tasks."""
    generated_per_perspective: Annotated[float, Field(ge=0.0, le=MOST_TIMES)] = 0.5
    """Generated tasks that are left, for each perspective, at least; the seed task, questions of your own and analysis
    prompts do not count. Whatever this is, there must be one. Fewer: what the student learns is not the method's."""
    undemonstrated: Probability = 0.5
    """Share of the tasks that should have demonstrations and have none, at most. More: the teacher could not write
    them, or copied."""


class TripletsGateParams(GateParams):
    """Answers to the pairs that were made."""

    rejected_share: Probability = 0.3
    """Share of the pairs whose answer was refused, at most. More: the teacher cannot do some task."""


class DifficultyGateParams(GateParams):
    """Scores that tell triplets apart, from a scorer that was trained."""

    near_zero_share: Probability = 0.9
    """Share of scores below 0.05, at most. More: everything is easy to the scorer, and order is chance."""
    near_one_share: Probability = 0.5
    """Share of scores above 0.95, at most. More: everything is hard, as to a scorer that was not warmed up."""
    spread: Annotated[float, Field(ge=0.0)] = 0.02
    """Standard deviation of the scores, at least. Less: they do not tell triplets apart."""
    tied_share: Probability = 0.5
    """Share of the triplets with the one commonest score, at most. More: the sampler's order among them is chance."""
    rejected_share: Probability = 0.1
    """Share of the triplets without a score, each with its reason, at most."""
    perplexity_correlation: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """Spearman correlation of score and perplexity, at least; null reports it only."""
    warm_up_loss_ratio: PositiveFloat | None = 0.95
    """Mean loss over the last third of the warm-up's steps to that over the first third, at most; null reports it
    only. More: the warm-up has not finished."""


class SampleGateParams(GateParams):
    """A sample that is what the probabilities promised, and in which no class has a much larger share than before."""

    standard_deviations: PositiveFloat = 4.0
    """Kept rows off their expected number at most, in standard deviations of the draw. More: not a fair draw."""
    absence_chance: Probability = 0.001
    """An instruction without a kept row counts as lost if the chance of that was below this."""
    class_rows: PositiveInt = 30
    """Scored rows a class balance needs to be judged; shares of fewer are mostly chance."""
    largest_class_share: Probability = 0.9
    """Share of the largest class after sampling, at most."""
    class_growth: Probability = 0.25
    """Growth of a class's share by sampling, at most: 0.25 is from 20% to 45%. More: the sample teaches it too often.
    `soft` at rate 0.5 takes the hardest class from p to 2p - p^2, a growth of 0.22 from a third, so that more of it is
    chance in small samples or a fault; `hard` and lower rates go further. Lower it where there are rows enough."""
    entropy_loss: Annotated[float, Field(ge=0.0)] = 0.3
    """Entropy of the classes before sampling less that after, in bits, at most."""
    js_distance: Probability = 0.25
    """Jensen-Shannon distance (base 2, 0 to 1) of the classes after sampling from those before, at most. The hardest
    of three equal classes, sampled `soft` at rate 0.5, makes 0.19."""
    proxy_chance: Probability | None = 0.05
    """In mode proxy, the probability that an order by chance agrees with direct scores as well as the proxy's does, on
    rows held out, at most. More: the teacher would be asked for a random sample. `null` reports it only."""


class TrainingSetGateParams(GateParams):
    """The student was trained on what was sampled, and learnt it."""

    loss_ratio: PositiveFloat | None = 0.95
    """Mean loss over the last third of the training's steps to that over the first third, at most; null reports it
    only."""


class StudentGateParams(GateParams):
    """A student that is better than its base. Where it is not, `stop` registers it without alias `candidate` and ends
    the run, after its report, with an error."""

    gain_low: Annotated[float, Field(ge=-1.0, le=1.0)] | None = 0.0
    """The lower end of the interval of the mean gain in macro-F1 over the base student must be above this; null reports
    it only."""
    label_share: Probability = 0.8
    """Share of a task's rows that one label is given to, at most, where the gold labels are balanced. More: the student
    says one thing of everything."""
    worse_tasks: NonNegativeInt = 0
    """Tasks on which the student is worse than its base beyond chance, at most: the interval of the gain lies below 0,
    taken at a confidence under which those of all tasks hold together."""


class GatesParams(Section):
    """What must hold of an artefact before the next stage may use it."""

    texts: TextsGateParams = TextsGateParams()
    clusters: ClustersGateParams = ClustersGateParams()
    tasks: TasksGateParams = TasksGateParams()
    triplets: TripletsGateParams = TripletsGateParams()
    difficulty: DifficultyGateParams = DifficultyGateParams()
    sample: SampleGateParams = SampleGateParams()
    training_set: TrainingSetGateParams = TrainingSetGateParams()
    student: StudentGateParams = StudentGateParams()
