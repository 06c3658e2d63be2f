"""Which of several replicas is asked what: questions that begin alike go to the same one, and none is idle.

A server reads a beginning that it has in its prefix cache for next to nothing. So each beginning has a home, by
rendezvous hashing: of all names the one whose hash together with the beginning is highest. That needs no table, is the
same in every stage and run, and a replica that goes moves only the beginnings that it was the home of.

A replica that has a free slot takes the first question that waits for it. If none does, it takes the last question of
the longest queue: questions come in the order of their beginnings, so that those whom it helps next most likely begin
like that one, and owner and helper meet in the middle of one beginning. A question that finds its home busy is
therefore kept for it as long as the others have work of their own. Weighing distances and loads against one another
could save little more: a beginning is read anew once for each replica that helps out with it.

Pure bookkeeping: no clock, no network.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from compeffdist.canonical import hash_json, hash_text
from compeffdist.teacher.requests import Request


def beginning(request: Request) -> str:
    """What a question shares with others of its instruction: everything before its last paragraph, in which prompts
    have the text that they are about (`prompting`), as a hash."""
    shared = request.prompt.rpartition("\n\n")[0]
    return hash_text(f"{request.system}\n\n{shared}")


def ranked(begins: str, names: Iterable[str]) -> list[str]:
    """Names by how much a beginning is theirs; the first one's is it."""
    return sorted(names, key=lambda name: hash_json([name, begins]), reverse=True)


class Placement:
    """Questions, by their indices, that wait for replicas, by their names.

    Args:
        beginnings: of each question.
        names: the replicas that have questions of their own; others only help out.
    """

    def __init__(self, beginnings: Sequence[str], names: Iterable[str]) -> None:
        self.beginnings = beginnings
        self.tried: dict[int, set[str]] = {}
        """Where a question is not to be asked again, as long as there are others."""
        self.queues: dict[str, deque[int]] = {"": deque(range(len(beginnings)))}
        """By home; without a name those that have none, as there is no replica."""
        self.move(names)

    @property
    def waiting(self) -> int:
        """Questions that nobody has taken."""
        return sum(map(len, self.queues.values()))

    def move(self, names: Iterable[str]) -> None:
        """Have other replicas be homes from now on."""
        waiting = sorted(index for queue in self.queues.values() for index in queue)
        self.queues = {name: deque[int]() for name in names} or {"": deque()}
        self.orders: dict[str, list[str]] = {}
        """Of the names, by beginning."""
        for index in waiting:
            self.queues[self._home(index)].append(index)

    def take(self, name: str) -> int | None:
        """The question that a replica with a free slot is to be asked; None if there is none for it."""
        if own := self.queues.get(name):
            return own.popleft()
        for queue in sorted(self.queues.values(), key=len, reverse=True):
            for place in reversed(range(len(queue))):
                index = queue[place]
                if name not in self.tried.get(index, ()) or "" in self.queues:
                    del queue[place]
                    return index
        return None

    def put_back(self, index: int, tried_at: str = "") -> None:
        """Have a question that was taken wait again, before all others; at other replicas than `tried_at` if it can."""
        if tried_at:
            self.tried.setdefault(index, set()).add(tried_at)
        self.queues[self._home(index)].appendleft(index)

    def _home(self, index: int) -> str:
        tried, begins = self.tried.get(index, ()), self.beginnings[index]
        if begins not in self.orders:
            self.orders[begins] = ranked(begins, self.queues)
        order = self.orders[begins]
        return next((name for name in order if name not in tried), order[0])
