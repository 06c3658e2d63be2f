"""JSON over HTTP to a chat server: requests sent, errors understood, what may pass tried again.

Retries with exponential backoff are the openai client's own; a server that is too busy, or gone, is waited for
(`pace`). What a retry cannot mend (refused connection, wrong key, no credit, unknown model) stops the run at once; a
single request that stays unanswered is reported and the rest go on, unless the server answers nothing at all. Of a
server that has answered before, a wrong key and the like are the matter of one request: gateways say that of one of
many servers, or of a text.
"""

import asyncio
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Self

from compeffdist.credentials import public_address
from compeffdist.errors import UserError, chain, connection_reason, one_line
from compeffdist.network import HTTPX, check_environment, proxy_variable
from compeffdist.params import RuntimeParams
from compeffdist.teacher.dialect import Change, Dialect, changes_for, is_cut, names_a_field
from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.pace import HIDDEN, OF_GATEWAYS, Pace, paced
from compeffdist.teacher.replies import only_choice, token_counts
from compeffdist.teacher.server_access import open_client, quick_client, secrets_of
from compeffdist.teacher.server_errors import (
    error_in,
    hidden_status,
    passing,
    read_body,
    reason,
    says_spent,
    status_of,
)
from compeffdist.teacher.spending import Meter
from compeffdist.teacher.wire import bound, is_asked

TROUBLE_LIMIT = 16
"""Requests in a row that fail after all their retries before the server is given up."""
CONNECT_SECONDS = 15.0
"""A server that is there takes a connection sooner, however long it thinks."""
CHECK_SECONDS = 30.0
CHECKS = 3
"""Looks at a server before it is not there, unless the connection is refused."""
CHANGES = 8
"""Refusals of one request that are answered by asking in another form."""


class Unanswered(RequestFailed):
    """No attempt at a request had an answer, by what may be the server's fault as well as the request's."""


class Unreachable(UserError):
    """A server as a whole does not answer."""

    def __init__(self, message: object, why: str) -> None:
        super().__init__(message)
        self.why = why
        """What is seen of it, masked."""


class Refused(RequestFailed):
    """The server does not take a request of this form."""

    def __init__(self, told: str, said: str = "") -> None:
        super().__init__(told)
        self.said = said
        """What the server said, without what it repeats of the question."""


class ServerClient:
    """JSON over HTTP to one server, its errors sorted into those of a request and those of the run.

    Use as an async context manager.

    Args:
        hint: ends the message when the server as a whole is at fault.
        meter: counts what replies took.
        pace: how fast the server is asked.
        dialect: what is known of the server; None: it takes every request as it is.
        key_header: the header that the key goes into.

    Raises:
        UserError: the environment's proxies or certificates, or the address, cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        runtime: RuntimeParams,
        hint: str,
        meter: Meter,
        pace: Pace,
        dialect: Dialect | None = None,
        key_header: str = "Authorization",
    ) -> None:
        import openai

        self.openai, self.hint, self.meter, self.pace, self.dialect = openai, hint, meter, pace, dialect
        self.place, self.url = public_address(base_url), base_url
        self.secrets = secrets_of(base_url, key)
        self.timeout, self.retries = runtime.request_timeout_seconds, runtime.retries
        self.trouble = 0
        self.listed: Any = None
        """What it said of its models when it was looked at."""
        check_environment(base_url, HTTPX)
        try:
            transport = paced(openai.DefaultAsyncHttpxClient, pace, self._tell_of_pace)
            times, attempts = self._patience(self.timeout), runtime.retries
            self.client = open_client(transport, base_url, key, key_header, times, attempts, self._look_at)
            self.once = quick_client(self.client, self._patience(CHECK_SECONDS))
        except Exception as error:  # of many types; what is known to be wrong was said before
            raise UserError(f"{self.place}: cannot be asked: {self._masked(str(error))}; {hint}") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def check(self) -> None:
        """Look at a server that has not answered yet. Raises UserError if it is not there or refuses the key."""
        e = self.openai
        for look in range(0 if self.pace.has_answered else CHECKS):
            try:
                await self._list_models()
            except e.APIConnectionError as error:
                if _lost_in_answering(error):
                    return
                if look + 1 == CHECKS or any(isinstance(found, _FINAL) for found in chain(error)):
                    raise self._fatal(error) from None
                await asyncio.sleep(0.5 * 2**look)
                continue
            except (e.AuthenticationError, e.PermissionDeniedError) as error:
                raise self._fatal(error) from None
            except e.APIError:
                pass  # a server need not list its models; whether it answers is seen at the first request
            return

    async def why_gone(self) -> str:
        """Look at a server once more: why it is not there, empty if it is."""
        e = self.openai
        try:
            await self._list_models()
        except e.APIStatusError as error:  # whatever else it says, it is there
            return f"status {error.status_code}" if error.status_code in OF_GATEWAYS else ""
        except e.APIError as error:
            return self._masked(connection_reason(error.__cause__ or error))
        return ""

    async def _list_models(self) -> None:
        """Raises an error of the openai client's if it does not list them, which it need not."""
        response = await self.once.models.with_raw_response.list()
        self.listed = read_body(response.content.decode("utf-8", errors="replace"))

    def _tell_of_pace(self, at_once: int, gone: str) -> None:
        """Said once of a server that is too busy, and once of one that is gone."""
        if gone:
            seconds = f"{self.pace.patience:g} s"
            self._tell_once("gone", f"does not answer ({gone}): waited for, up to {seconds}, before that is a fault")
        else:
            self._tell_once("busy", f"is too busy: asked {at_once} at once now, more again as it answers")

    def _tell_once(self, matter: str, told: str) -> None:
        if matter not in self.pace.told:
            print(f"{self.place} {told}", file=sys.stderr)
        self.pace.told.add(matter)

    async def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST /chat/completions, in the form that this server takes. Raises RequestFailed or UserError."""
        dialect = self.dialect or Dialect()
        tried: list[Change] = []
        for _ in range(CHANGES):
            asked = dialect.spoken(body, tried)
            try:
                reply = await self._posted(asked)
            except Refused as refusal:
                # what another request found out meanwhile may be all that is needed
                changes = changes_for(asked, refusal.said) if self.dialect else []
                if not changes:
                    if is_cut(refusal.said):  # it took the form, and thought
                        self._learn(dialect, tried, body)
                    raise
                tried += changes
                continue
            self._learn(dialect, tried, body)
            dialect.took(asked)
            if other := dialect.other_model(body, reply):
                self._tell_once(f"model {other}", f"says that model {other!r} answers, asked was {body['model']!r}")
            return reply
        raise RequestFailed("server refuses the request in every form")

    def _learn(self, dialect: Dialect, changes: Sequence[Change], meant: Mapping[str, Any]) -> None:
        for change in dialect.learn(changes, meant):
            print(f"{self.place} {change}", file=sys.stderr)

    async def complete(self, body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """POST /completions; `extra` are fields that only vLLM knows. Raises RequestFailed or UserError."""
        create = self.client.completions.with_raw_response.create
        return await self._json(lambda: create(**body, extra_body=dict(extra)), body)

    async def _posted(self, body: dict[str, Any]) -> dict[str, Any]:
        """The reply to a chat request in just this form. Raises as `chat`, Refused among it."""
        create = self.client.chat.completions.with_raw_response.create
        return await self._json(lambda: create(**body), body)

    async def _look_at(self, response: Any) -> None:
        """Count what a reply took, also one that will be tried again, and give an error that came with status 200 the
        status it should have had, so that it is."""
        if is_asked(response.request):
            bound(response)
        if response.status_code != HTTPStatus.OK:
            return
        body = read_body((await response.aread()).decode("utf-8-sig", errors="replace"))
        if is_asked(response.request):
            self.meter.count(*token_counts(body if isinstance(body, dict) else {}))
        _unhide_error(response, body)

    async def _json(self, call: Callable[[], Awaitable[Any]], body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that a call of the openai client's is answered with; `body` is the question that it sends, to
        which only what has a choice is an answer, and empty for all else. Raises RequestFailed or UserError."""
        text = await self._text(call, body)
        if isinstance(text, dict):
            return text
        value = read_body(text)
        if isinstance(value, str):
            said = self._masked(reason(value)) or "it is empty"
            raise self._exhausted(f"server's answer is not JSON: {said}")
        if not isinstance(value, dict):
            raise self._exhausted("server's answer is not a JSON object")
        if body:
            try:
                only_choice(value)
            except RequestFailed as nothing:
                raise self._exhausted(str(nothing)) from None
        self.trouble = 0
        return value

    async def _text(self, call: Callable[[], Awaitable[Any]], body: Mapping[str, Any]) -> str | dict[str, Any]:
        """What a call is answered with; of an answer that broke off, the object it is."""
        e = self.openai
        try:
            raw = await call()
        except e.APIConnectionError as error:
            if not _lost_in_answering(error):
                raise self._fatal(error) from None
            if isinstance(error, e.APITimeoutError):
                raise self._exhausted(f"no answer within {self.timeout:g} s") from None
            raise self._exhausted(
                f"connection lost: {self._masked(connection_reason(error.__cause__ or error))}"
            ) from None
        except e.APIStatusError as error:
            hidden = error.response.extensions.get(HIDDEN)
            if hidden == _BROKEN_OFF:
                return self._broken_off(error)
            if hidden != _NO_ANSWER:
                raise self._sorted(error, body) from None
            raw = error.response
        except e.APIError as error:
            raise self._exhausted(f"server's answer cannot be read: {self._masked(str(error))}") from None
        content = raw.content
        try:
            return content.decode("utf-8-sig") if isinstance(content, bytes) else str(content)
        except UnicodeDecodeError:  # to replace what cannot be read would change the answer
            raise self._exhausted("server's answer is not UTF-8") from None

    def _broken_off(self, error: Any) -> dict[str, Any]:
        """The answer that broke off in every attempt: whoever reads it says why."""
        failure = self._exhausted(f"server answered {self._describe(error)}")
        if isinstance(failure, UserError):
            raise failure from None
        answered: dict[str, Any] = read_body(error.response.text)
        return answered

    def _sorted(self, error: Any, body: Mapping[str, Any]) -> Exception:
        """What a status means: the end of the run, of this request, or of this form of it."""
        answered = read_body(error.response.text)
        status = status_of(error.status_code, answered)
        said = reason(answered)
        for message in body.get("messages", ()):
            if len(message["content"]) >= _ECHO_LENGTH:
                said = said.replace(one_line(message["content"], 4000), "")
        if status in _SPENT_STATUS and says_spent(said):
            status = HTTPStatus.PAYMENT_REQUIRED
        if self._is_of_the_form(status, said, body):
            return Refused(f"server refused the request: {self._describe(error)}", said)
        of_one = self.pace.has_answered and status in _OF_ONE_OF_MANY
        return (
            self._exhausted(f"server answered {self._describe(error)}")
            if passing(status) or of_one
            else self._fatal(error)
        )

    def _is_of_the_form(self, status: int, said: str, body: Mapping[str, Any]) -> bool:
        """Whether an error is about how a request was put: any that is neither the server's nor of the whole run. A
        field may be refused with these, too: 403 for log-probabilities, 500 by servers that know no better."""
        if status == HTTPStatus.FORBIDDEN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return self.dialect is not None and names_a_field(body, said)
        return not passing(status) and status not in _OF_THE_RUN

    def _patience(self, seconds: float) -> Any:
        return self.openai.Timeout(min(self.timeout, seconds), connect=min(self.timeout, CONNECT_SECONDS))

    def _exhausted(self, told: str) -> Exception:
        self.trouble += 1
        if self.trouble >= TROUBLE_LIMIT:
            failed = f"{self.trouble} requests in a row failed, the last with: {told}"
            return Unreachable(f"{self.place}: {failed}; {self.hint}", failed)
        return Unanswered(told)

    def _fatal(self, error: Exception) -> UserError:
        if isinstance(error, self.openai.APIConnectionError):
            through = f" through the proxy that {name} names" if (name := proxy_variable(self.url)) else ""
            why = self._masked(connection_reason(error.__cause__ or error))
            told = f"{self.place}: cannot reach the teacher's server; {self.hint} ({why}{through})"
            return Unreachable(told, f"{why}{through}")
        return UserError(f"{self.place}: the teacher's server answered {self._describe(error)}; {self.hint}")

    def _describe(self, error: Any) -> str:
        """Status and reason of an error, as the server put them."""
        response = error.response
        said = reason(error_in(read_body(response.text)))
        told = self._masked(said or response.reason_phrase or "and gave no reason")
        hidden = response.extensions.get(HIDDEN)
        return f"{HTTPStatus.OK} with an error in it: {told}" if hidden else f"{error.status_code} {told}"

    def _masked(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return one_line(text, 300)


_LATER = {
    *("ReadTimeout", "WriteTimeout", "PoolTimeout"),
    *("ReadError", "WriteError", "RemoteProtocolError", "DecodingError"),
}
_ECHO_LENGTH = 20
"""Characters of a question from which on its repetition in an error is told from chance."""
_WHOLE, _BROKEN_OFF, _NO_ANSWER = "error", "broken off", "no answer"
"""What a response is whose status was 200: an error and nothing else, an answer that broke off, or nothing of use."""
_OF_ONE_OF_MANY = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
"""What a server that has answered says of one request: moderation holds its text back, a replica is set up otherwise.
"""
_OF_THE_RUN = {*_OF_ONE_OF_MANY, HTTPStatus.PAYMENT_REQUIRED}
"""What all that follow would be answered, too, as long as nothing was answered."""
_SPENT_STATUS = {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
_FINAL = (ConnectionRefusedError, ssl.SSLError)


def _unhide_error(response: Any, body: Any) -> None:
    """Give an error that came with status 200 the status it should have had, so that it is retried like any other; so
    is what is no answer: a page, nothing, no choices. What was paid for, by its own count of tokens, is not retried: it
    would be paid for again, beyond what a budget allows a question."""
    if isinstance(body, dict) and any(token_counts(body)):
        response.headers["x-should-retry"] = "false"
    if is_asked(response.request) and not (isinstance(body, dict) and (body.get("choices") or hidden_status(body))):
        response.status_code = int(HTTPStatus.BAD_GATEWAY)
        response.extensions[HIDDEN] = _NO_ANSWER
        return
    if response.request.method != "POST" and not (isinstance(body, dict) and body.get("error")):
        return
    if status := hidden_status(body):
        response.status_code = int(status)
        response.extensions[HIDDEN] = _WHOLE if error_in(body) is body else _BROKEN_OFF


def _lost_in_answering(error: Exception) -> bool:
    """Whether a connection was there and failed later, which may be the matter of one request."""
    return error.__cause__ is not None and any(type(found).__name__ in _LATER for found in chain(error.__cause__))
