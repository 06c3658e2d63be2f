"""One attempt on the wire: a response read whole, within its time and size, on a connection that holds nothing else.

An answer is asked for uncompressed, and refused if it is compressed all the same: a few bytes may unpack to any size.

An HTTP client's time-out is from byte to byte: a body that drips would never end. And a connection that is used again
may hold what nobody asked for, such as a response sent twice, which would be taken for the answer to the next question,
and every answer after it for that of the one before: such a connection is closed.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

MOST_BYTES = 64 * 2**20
"""Of an answer. The longest that a model writes is a hundredth of it."""
_PLAIN = "identity"
"""How HTTP calls a body that is not compressed."""
_INWARDS = ("_stream", "_httpcore_stream", "_connection", "_h11_state")
"""From a response's stream to the state of its connection: httpx has no public way to it."""


async def attempt(send: Callable[..., Awaitable[Any]], request: Any, options: Mapping[str, Any]) -> Any:
    """Send a request of an `httpx` client and read an answer to it, of whatever status.

    Raises:
        httpx.ReadTimeout: it is not whole in the time that the request allows from byte to byte.
        Whatever else `send` raises.
    """
    if not is_asked(request):  # files take as long as they take
        return await send(request, **options)
    try:
        async with asyncio.timeout(request.extensions.get("timeout", {}).get("read")):
            response = await send(request, **options)
            await response.aread()
    except TimeoutError:
        raise _library(request).ReadTimeout("the answer is not whole in time", request=request) from None
    return response


def is_asked(request: Any) -> bool:
    """Whether a request is a question to a model."""
    return bool(request.method == "POST" and request.url.path.endswith("/completions"))


async def plainly(request: Any) -> None:
    """Ask for an answer that is not compressed."""
    if is_asked(request):
        request.headers["Accept-Encoding"] = _PLAIN


def bound(response: Any) -> None:
    """Have the reading of a response raise `httpx.ReadError` if it is compressed or once it has more than MOST_BYTES,
    and close its connection if that holds anything behind it.

    The connection is marked before it goes back to the pool: closed only then, it may be picked meanwhile, and httpcore
    reads what is left for a response also where its request could not be written.
    """
    library, inner = _library(response.request), response.stream

    class Bounded(library.AsyncByteStream):  # type: ignore[name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            size, coding = 0, response.headers.get("content-encoding", _PLAIN).strip().lower()
            if coding not in ("", _PLAIN):
                raise library.ReadError(f"the answer is compressed ({coding})", request=response.request)
            async for part in inner:
                size += len(part)
                if size > MOST_BYTES:
                    raise library.ReadError(f"the answer has more than {MOST_BYTES} bytes", request=response.request)
                yield part
            state = _protocol(inner)
            if state is not None and state.trailing_data[0]:
                state.send_failed()  # a connection with a failure is not used again

        async def aclose(self) -> None:
            await inner.aclose()

    response.stream = Bounded()


def _library(request: Any) -> Any:
    """The version of httpx that a request is of."""
    return sys.modules[type(request).__module__.partition(".")[0]]


def _protocol(stream: Any) -> Any:
    """The state of the connection that a response is read from; None if it has none, as with HTTP/2."""
    state = stream
    while state is not None and not hasattr(state, "trailing_data"):
        state = next((getattr(state, name) for name in _INWARDS if hasattr(state, name)), None)
    return state
