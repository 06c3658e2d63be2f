"""Secrets, ours and other people's, in what people read: masked, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.credentials import public_address
from compeffdist.errors import UserError, lost_server, one_line


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("http://ada:p/w@host/v1 failed", "http://***@host/v1 failed"),
        ("postgresql://ada:p@w/x:y?z#q@host/db", "postgresql://***@host/db"),
        ("'https://ghp_0123456789@github.com/x/y.git'", "'https://***@github.com/x/y.git'"),
        ("https://host/x?access_token=abc&page=2: 403", "https://host/x?access_token=***&page=2: 403"),
        ("https://host/x?X-Amz-Signature=ab12&X-Amz-Expires=60", "https://host/x?X-Amz-Signature=***&X-Amz-Expires=60"),
        ("https://host/x?sv=1&sig=AAA%3D", "https://host/x?sv=1&sig=***"),
        ("https://host/x?whatever=0123456789abcdef0123&y=2", "https://host/x?whatever=***&y=2"),
        ("with url: /api/2.0?api_key=abc (Caused by", "with url: /api/2.0?api_key=*** (Caused by"),
        ("models:/student@champion, api:gpt@there, ada@example.org", None),
        ("https://host/a@b and https://host/?page=2", None),
        ("sqlite:////data/a b/mlflow.db: no such table", None),
        ("pall bearer carefully; tokens=", None),
    ],
)
def test_credentials_are_masked_and_nothing_else(message: str, shown: str | None) -> None:
    assert one_line(message) == (shown or message)
    assert str(UserError(message)) == (shown or message)


@given(
    st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\N{REPLACEMENT CHARACTER}"), min_size=6)
)
def test_no_password_of_an_address_is_shown(password: str) -> None:
    secret = f"§{password}§"
    for address in (f"http://ada:{secret}@host/v1", f"postgresql+psycopg2://ada:{secret}@host:5432/db"):
        for said in (one_line(f"{address} failed"), one_line(f"got '{address}', why"), public_address(address)):
            assert secret not in said and password not in said.replace("***", "")
            assert "@host" in said


def test_a_secret_of_the_environment_is_masked_outside_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:two words/1@host:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "0123456789")
    monkeypatch.setenv("PGPASSWORD", "keep-1-out")
    assert one_line("no host words: two words/1; token 0123456789") == "no host words: ***; token ***"
    assert one_line("neither user nor keep-1-out") == "neither user nor ***"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        # headers
        ("Authorization: Bearer 0123456789abcdef", "Authorization: Bearer ***"),
        ("Authorization: Basic dXNlcjpwdw== refused", "Authorization: Basic *** refused"),
        ("{'Authorization': 'Basic QWxhZGRpbg'}", "{'Authorization': 'Basic ***'}"),
        ('{"authorization": "bearer abcdef", "x": 1}', '{"authorization": "bearer ***", "x": 1}'),
        ("(b'Authorization', b'Bearer 0123abcd')", "(b'Authorization', b'Bearer ***')"),
        ("proxy-authorization: token abc", "proxy-authorization: token ***"),
        ("sent Basic dXNlcjpwdw==", "sent Basic ***"),
        ("token bearer 0123456789abcdef is old", "token bearer *** is old"),
        ("Set-Cookie: session=abcdef; Path=/", "Set-Cookie: session=***; Path=/"),
        ("x-api-key: 0123abc", "x-api-key: ***"),
        # settings, as YAML, JSON, Python, a shell and a command line write them
        ("api_key: 'abc def'", "api_key: '***'"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": "***", "n": 1}'),
        (r'{"body": "{\"apiKey\": \"abc\"}"}', r'{"body": "{\"apiKey\": \"***\"}"}'),
        ("Client(api_key='a', client_secret=\"b\")", "Client(api_key='***', client_secret=\"***\")"),
        ('cut in "password": "abc', 'cut in "password": "***'),
        ("password: hunter2", "password: ***"),
        ("AWS_SECRET_ACCESS_KEY=wJalr/XUt+K7", "AWS_SECRET_ACCESS_KEY=***"),
        ("aws_secret_access_key = wJalr/XUt+K7", "aws_secret_access_key = ***"),
        ("A_TOKEN=a B_SECRET=b DB_PASSWORD=c OTHER_KEY=d", "A_TOKEN=*** B_SECRET=*** DB_PASSWORD=*** OTHER_KEY=***"),
        ("AccountName=x;AccountKey=abc+/=", "AccountName=x;AccountKey=***"),
        ("serve --api-key abc --port 1", "serve --api-key *** --port 1"),
        ("serve --hf-token=abc --port 1", "serve --hf-token=*** --port 1"),
        # addresses
        ("ada:p/w@db.example:5432 failed", "***@db.example:5432 failed"),
        ("user:password@host", "***@host"),
        ("'ada:p@ss@localhost/db'", "'***@localhost/db'"),
        ("http://host/x?password=abc&page=1", "http://host/x?password=***&page=1"),
        # tokens that show what they are
        ("Incorrect API key provided: sk-0123456789abcdefghij.", "Incorrect API key provided: ***."),
        ("hf_0123456789abcdefghij and AKIAIOSFODNN7EXAMPLE", "*** and ***"),
        # prose
        ("authorization: the header is missing; WWW-Authenticate: Basic realm=x", None),
        ("Basic questions, basic auth: bearer of good news, a secret: none", None),
        ("COMPEFFDIST_API_KEY: the key has white space in it; see --api-key", None),
        ("runtime.token_budget: 5; max_tokens=4096; max_tokens: 4096", None),
        ("expected token 'end of print statement', got 'x'; the column 'token'", None),
        ("vllm:v0.5@sha256:abcd, at 12:30@home, git@github.com:x/y, pypi:a==1@b", None),
    ],
)
def test_secrets_of_others_are_masked_and_nothing_else(message: str, shown: str | None) -> None:
    assert one_line(message) == (shown or message)
    assert str(UserError(message)) == (shown or message)
    assert one_line(one_line(message)) == (shown or message)


@given(
    st.sampled_from(["{}={}", '"{}": "{}"', "{}: '{}'", "{} = '{}'", "--{} {}", "x {}={} y"]),
    st.sampled_from(["password", "API_KEY", "apiKey", "MY_TOKEN", "client-secret", "AWS_SECRET_ACCESS_KEY", "db.pwd"]),
    st.text("abcXYZ019+/_.~-", min_size=5, max_size=40).map(lambda secret: f"Q{secret}Q"),
)
def test_no_setting_shows_its_secret(form: str, name: str, secret: str) -> None:
    assert secret not in one_line(form.format(name, secret))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@host:8443/v1?key=abc", "https://***@host:8443/v1"),
        ("https://me:p/w@host/v1#x", "https://***@host/v1"),
        ("http://me:p@w@[::1]:5000", "http://***@[::1]:5000"),
        ("http://me:p?w@host/v1", "http://***@host/v1"),
        ("http://me:p#w@host:5000", "http://***@host:5000"),
        ("https://ghp_x@github.com/x", "https://***@github.com/x"),
        ("postgresql://ada:two words@host/db?sslmode=require", "postgresql://***@host/db"),
        ("ada:two words@host:5000", "***@host:5000"),
        ("http://host:80/v1?mail=a", "http://host:80/v1"),
        ("http://host/v1?mail=a@b", "http://host/v1"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("host:5000", "host:5000"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert public_address(url) == shown


def test_the_server_of_a_lost_connection_is_named_without_its_password() -> None:
    assert lost_server(ConnectionError("http://ada:p/w@host:5000/api/2.0?x=1 refused")) == "http://***@host:5000"
