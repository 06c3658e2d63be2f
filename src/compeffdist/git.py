"""The one place that runs git: always under the same settings, and a look-up that failed is told from one that found
nothing.

What a user configures and what a hook sets in the environment changes none of what is read here: the commands are
git's plumbing, settings that reach even that are overridden, and variables that name another repository are left out.
Settings that say whose files git may read (`safe.directory`) are kept.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from io import BytesIO
from pathlib import Path, PurePosixPath

from compeffdist.errors import UserError, one_line

COMMIT = re.compile("HEAD|[0-9a-f]{40}|[0-9a-f]{64}")
UNSAYABLE = re.compile("[\ud800-\udfff\n\0]")
"""What no path has that git is asked for: half a character, as in a damaged tag, or what ends a path among others."""
SETTINGS = {
    "color.ui": "false",
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "credential.helper": "",  # nobody is asked for a password, no program either
    "log.showSignature": "false",
    "i18n.logOutputEncoding": "UTF-8",
}
FOREIGN = {
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR", "GIT_GRAFT_FILE"),
    *("GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE"),
    *("GIT_WORK_TREE", "GIT_EXTERNAL_DIFF", "GIT_GLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_NOGLOB_PATHSPECS"),
}
"""Variables that a hook, or whoever calls, sets for another repository or another reading of paths."""
FIXED = {
    "LC_ALL": "C",  # refusals are told apart by their words
    "LANGUAGE": "C",
    "GIT_ASKPASS": "",  # nobody is asked for credentials, in a window or at a terminal
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # looking writes nothing
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
}
LINK = "120000"
"""Git's mode of a symbolic link."""
UNFOLLOWED = {b"symlink", b"dangling", b"loop", b"notdir"}
"""What git says of a link that leads out of the commit it is in."""
BROKEN = "ignoring broken ref"
"""Git goes on past a branch that it cannot read, and warns."""


Done = subprocess.CompletedProcess[bytes]


class NoRepository(UserError):
    """The folder lies in no git repository: there is nothing to look up in, and nothing failed."""


def run_git(
    folder: Path,
    *arguments: str,
    given: bytes = b"",
    answers: Collection[int] = (0,),
    timeout: float | None = None,
) -> Done:
    """Run a git command in a folder.

    Args:
        given: its standard input.
        answers: exit statuses that are an answer; any other is a failure.
        timeout: seconds after which it is ended, for a command that asks another machine.

    Raises:
        NoRepository: the folder is in no git repository.
        UserError: git is not installed, refuses to read the repository, failed, or took too long; one line with what
            to do.
    """
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command = ["git", "--no-pager", *settings, *arguments]
    kept = {k: v for k, v in os.environ.items() if k not in FOREIGN and not k.startswith("GIT_TRACE")}
    try:
        done = _ran(command, folder, kept | FIXED, given, timeout)
    except FileNotFoundError as error:
        if error.filename != "git":
            raise
        above = _repository_above(folder)
        raise UserError(
            f"git is not installed, but {above} is a git repository, whose history is needed: install git"
        ) from None
    except subprocess.TimeoutExpired:
        raise UserError(f"git {arguments[0]} in {_shown(folder)}: no end after {timeout:g} s; try again") from None
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode not in answers:
        raise _failure(folder, arguments[0], said or f"exit status {done.returncode}")
    if BROKEN in said:
        raise UserError(f"git {arguments[0]} in {_shown(folder)}: {one_line(said, 200)}; see: git fsck")
    return done


def _ran(command: list[str], folder: Path, variables: dict[str, str], given: bytes, timeout: float | None) -> Done:
    # a session of its own where another machine is asked: what git starts is ended with it, and finds no terminal
    apart = timeout is not None
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=apart
    ) as running:
        try:
            output, complaints = running.communicate(given, timeout)
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL) if apart else running.kill()
            raise
    return Done(command, running.returncode, output, complaints)


def git_setting(folder: Path, key: str) -> str:
    """What the user configured, empty if nothing or no git. Raises UserError if the configuration cannot be read."""
    if shutil.which("git") is None:
        return ""
    return run_git(folder, "config", "--get", key, answers=(0, 1)).stdout.decode("utf-8", "replace").strip()


def _failure(folder: Path, command: str, said: str) -> UserError:
    if "dubious ownership" in said:
        named = re.search(r"repository at '(.*)'", said)
        place = shlex.quote(named[1] if named else str(_shown(folder)))
        return UserError(
            f"git refuses to read {place}, which belongs to another user (dubious ownership); if you trust it, run: "
            f"git config --global --add safe.directory {place}"
        )
    if "not a git repository (or any" in said:
        said += f" although {_repository_above(folder)} is there"
    return UserError(f"git {command} failed in {_shown(folder)}: {one_line(said, 300)}")


def _repository_above(folder: Path) -> Path:
    """What looks like a repository around a folder, whether git can read it or not. Raises NoRepository."""
    here = _shown(folder)
    for place in (here, *here.parents):
        if os.path.lexists(place / ".git"):
            return place / ".git"
    raise NoRepository(f"{here}: in no git repository")


def _shown(folder: Path) -> Path:
    return Path(folder).absolute()


class Git:
    """The history of the repository that `folder` lies in, which may be far above; paths are relative to `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def text(self, *arguments: str, answers: Collection[int] = (0,)) -> str:
        """Output of a command. Raises UserError as `run_git`."""
        return run_git(self.folder, *arguments, answers=answers).stdout.decode("utf-8", "surrogateescape")

    @cached_property
    def prefix(self) -> str:
        """Path of the folder within the repository, with its slash; empty at the top. Raises UserError as `run_git`;
        git cannot be asked for files of a folder of this name."""
        found = self.text("rev-parse", "--show-prefix").removesuffix("\n")
        if UNSAYABLE.search(found):
            raise UserError(f"{_shown(self.folder)}: git cannot be asked for files of a folder of this name; rename it")
        return found

    @property
    def shallow(self) -> bool:
        """Whether the history was cut when it was cloned. Raises UserError as `run_git`."""
        return self.text("rev-parse", "--is-shallow-repository").strip() == "true"

    def head(self) -> str:
        """The commit checked out, empty if there is none yet. Raises UserError as `run_git`; HEAD cannot be read."""
        found = self.text("rev-parse", "--quiet", "--verify", "HEAD", answers=(0, 1)).strip()
        if found:
            return found
        branch = self.text("symbolic-ref", "--quiet", "HEAD", answers=(0, 1)).strip()
        place = self.text("rev-parse", "--git-path", branch or "HEAD").removesuffix("\n")
        if not branch or (self.folder / place).is_file():
            raise UserError(f"git: HEAD of {_shown(self.folder)} cannot be read; see: git fsck")
        return ""

    def changed(self, path: str = ".") -> bool:
        """Whether tracked files of the folder, or one of them, differ from the commit checked out. Raises UserError as
        `run_git`."""
        flags = ("--untracked-files=no", "--ignore-submodules=untracked")
        return bool(self.text("status", "--porcelain", "-z", *flags, "--", path))

    def commits_of(self, path: str) -> Iterator[tuple[str, str]]:
        """(commit, date) of every commit of any ref in which `path` changed, the newest first; where it is a link, or
        once was, also of those in which what it leads to changed. Raises UserError as `run_git`."""
        paths = [path]
        for place in paths:  # which grows by what a link leads to
            commits = self._changes_of([place])[::2]
            paths += [target for target in self._targets(place, commits) if target not in paths]
        lines = self._changes_of(paths)
        for header, date in zip(lines[::2], lines[1::2], strict=True):
            yield header.removeprefix("commit "), date

    def _changes_of(self, paths: list[str]) -> list[str]:
        """Two lines for each commit: `commit HASH` and its date."""
        wanted = ("--exclude=refs/stash", "--all", "--full-history", "--format=%cs", "--", *paths)
        return self.text("rev-list", *wanted).splitlines()

    def _targets(self, path: str, commits: Iterable[str]) -> list[str]:
        """Where a path leads that is a link in some of these commits, as far as that is in the repository."""
        asked = "".join(f"{header.removeprefix('commit ')}\n" for header in commits).encode()
        compare = ("diff-tree", "--stdin", "-r", "--root", "-m", "--no-commit-id", "--", path)
        changes = run_git(self.folder, *compare, given=asked).stdout.decode("utf-8", "surrogateescape").splitlines()
        links = dict.fromkeys(fields[3] for line in changes if (fields := line.split())[1] == LINK)
        own = PurePosixPath(self.prefix)
        places = (os.path.normpath((own / path).parent / self.text("cat-file", "blob", link)) for link in links)
        inside = [place for place in places if place != ".." and not place.startswith(("../", "/"))]
        return [os.path.relpath(place, own) for place in inside if not {"\n", "\0"} & {*place}]

    def refs(self, beginning: str) -> Iterator[tuple[str, str]]:
        """(ref, object) of each ref below `beginning`. Raises UserError as `run_git`."""
        for line in self.text("for-each-ref", "--format=%(objectname) %(refname)", beginning).splitlines():
            name, ref = line.split(" ", 1)
            yield ref, name

    def files_at(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes | None]:
        """Files as commits hold them, by (commit, path); None where there is none. One call of git for all.

        A commit is a whole hash, or HEAD. Whatever else a tag of a version holds is none: git would take a branch for
        one, or the index. A commit that this repository does not have holds nothing. Links are followed.

        Raises:
            UserError: as `run_git`; a commit has a file whose bytes are not in this repository, or a link that leads
                out of it.
        """
        found: dict[tuple[str, str], bytes | None] = dict.fromkeys(wanted)
        names = {place: name for place in found if COMMIT.fullmatch(place[0]) and (name := self._name(*place))}
        if not names:
            return found
        asked = "".join(f"{name}\n" for name in names.values()).encode()
        answers = BytesIO(run_git(self.folder, "cat-file", "--batch", "--follow-symlinks", given=asked).stdout)
        absent = []
        for place, name in names.items():
            header = answers.readline()
            if header == f"{name} missing\n".encode():
                absent.append(place)
                continue
            *_, kind, size = header.split()
            content = answers.read(int(size))
            answers.read(1)
            if kind in UNFOLLOWED:
                leads = one_line(content.decode("utf-8", "replace"), 200) if kind == b"symlink" else "nothing in it"
                raise UserError(
                    f"git: {place[1]} of commit {place[0][:10]} is a link that leads to {leads}: what it held there is "
                    "not in the repository, and so not known; commit the file itself"
                )
            found[place] = content if kind == b"blob" else None
        self._sure(absent)
        return found

    def _name(self, commit: str, path: str) -> str:
        """What git calls a file of a commit; empty if no commit can hold it."""
        if UNSAYABLE.search(path):
            return ""
        place = os.path.normpath(PurePosixPath(self.prefix) / path)
        return "" if place == ".." or place.startswith(("../", "/")) else f"{commit}:{place}"

    def _sure(self, absent: Iterable[tuple[str, str]]) -> None:
        """Make sure that files which git calls missing are not there, rather than not to be read."""
        by_commit: dict[str, list[str]] = {}
        for commit, path in absent:
            by_commit.setdefault(commit, []).append(self._name(commit, path).partition(":")[2])
        asked = "".join(f"{commit}\n" for commit in by_commit).encode()
        states = run_git(self.folder, "cat-file", "--batch-check", given=asked).stdout.splitlines() if asked else []
        for (commit, places), state in zip(by_commit.items(), states, strict=True):
            if state.endswith(b" missing"):
                if commit == "HEAD" and self.head():
                    raise UserError(f"git: the commit checked out in {_shown(self.folder)} is missing; see: git fsck")
                continue
            listed = self.text("ls-tree", "-z", "--full-tree", "--name-only", commit, "--", *places).split("\0")
            if lost := sorted({*places} & {*listed}):
                raise UserError(f"git: {lost[0]} of commit {commit[:10]} cannot be read: git fetch, or see: git fsck")
