"""Writes requesters.json: the requests that airbyte-cdk builds from requesters.

    pip install airbyte-cdk==7.39.1
    python engine/tests/golden/requesters.py

The result is committed, so that the tests need no Python. Each case: the requester's fields, and the address, the headers that are not the
client's own, and the body; or the name of an error.
"""
import json
import logging
import pathlib

from airbyte_cdk.sources.declarative.models import declarative_component_schema as models
from airbyte_cdk.sources.declarative.parsers.manifest_component_transformer import ManifestComponentTransformer
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from airbyte_cdk.sources.types import StreamSlice

logging.disable(logging.CRITICAL)
CONFIG = {"a": "x", "m": {"k": 1, "l": [1, 2], "z": None}, "q": "query { a }", "n": 5, "t": "1,2"}
SLICE = {"s": "v"}
# Headers of the client itself.
OWN = {"User-Agent", "Accept-Encoding", "Accept", "Connection", "Content-Length"}
TEXTS = [
    "plain text", '{"a": 1}', '{"a": null}', "{{ config.m }}", "{{ config['a'] }}=1&b={{ stream_slice.s }}", "", "{{ config.none }}", '{"a": {"b": 1}}', "a=1", "{'a': [1,2], 'b': None, 'c': True}", "é",
]
VALUES = {
    "a": "{{ config.get('zz') }}", "b": "1.10", "c": "1,2", "d": "0x1F", "e": " 5 ", "f": "{{ [1,2] }}", "g": "{{ {'k':1} }}", "h": "{{ 'x' if false }}", "i": "None", "j": "{{ [] }}", "k": "'q'",
    "l": "{{ [None, 'z'] }}", "r": "True", "s": "{{ 1.10 }}", "t": "{{ '1.10' }}", "u": "{{ config.n / 2 }}", "v": "{{ config.t }}", "w": "007", "x": "2024-01-01", "y": "{{ stream_slice.s }}", "z": "a b&c=d/é",
    "{{ config.a }}y": "key", "ab": "1_000", "ac": "{{ config.n }}", "ad": "{{ true }}", "ae": "[\"a\", 'b']", "af": "{{ config.m.l }}", "ag": "1e5", "ah": "{{ config.m.none.x }}", "ai": "('a',)",
}


def definitions():
    for text in TEXTS:
        yield {"request_body": {"type": "RequestBodyPlainText", "value": text}}
        yield {"request_body_data": text}
        yield {"request_parameters": text}
        yield {"request_headers": text}
    for name, value in VALUES.items():
        yield {"request_parameters": {name: value}}
        yield {"request_headers": {f"X-{name}": value}}
        yield {"request_body_data": {name: value}}
        yield {"request_body_json": {name: value}}
    yield {"request_parameters": VALUES}
    for value in [{"a": "{{ config.n }}", "b": "[1,2]", "c": "{{ config.none }}", "d": "{{ config.m }}", "e": "{{ True }}"}, {}]:
        yield {"request_body": {"type": "RequestBodyUrlEncodedForm", "value": value}}
    for value in [{"a": "{{ config.n }}", "b": [1, "{{ config.a }}", None], "c": {"d": "{{ config.none }}", "e": None}}, {}]:
        yield {"request_body": {"type": "RequestBodyJsonObject", "value": value}}
    for value in [{"query": "{{ config.q }}", "variables": {"a": "{{ config.n }}"}, "operationName": None}, {"query": "query {\n  a(first: 1) { id }\n}"}]:
        yield {"request_body": {"type": "RequestBodyGraphQL", "value": value}}
    yield {"request_body_json": "{{ config.m }}"}


def case(fields):
    whole = {"type": "HttpRequester", "url_base": "http://h", "path": "p", "http_method": "POST", **fields}
    filled = ManifestComponentTransformer().propagate_types_and_parameters("", whole, {})
    requester = ModelToComponentFactory().create_component(models.HttpRequester, filled, CONFIG, name="s", decoder=None)
    slice_ = StreamSlice(partition=SLICE, cursor_slice={})
    of = {"stream_state": None, "stream_slice": slice_, "next_page_token": None}
    try:
        request = requester._http_client._create_prepared_request(
            "POST", requester._get_url(**of), True, requester._request_headers(**of), requester._request_params(**of), requester._request_body_json(**of), requester._request_body_data(**of),
        )
    except Exception as error:  # noqa: BLE001
        return {"fields": fields, "error": type(error).__name__}
    headers = {name.lower(): value for name, value in request.headers.items() if name not in OWN}
    body = request.body.encode() if isinstance(request.body, str) else request.body
    return {"fields": fields, "url": request.url, "headers": headers, "body": None if body is None else body.decode()}


TABLE = {"config": CONFIG, "slice": SLICE, "cases": [case(fields) for fields in definitions()]}
pathlib.Path(__file__).with_name("requesters.json").write_text(json.dumps(TABLE, separators=(",", ":")).replace('},{"', '},\n{"') + "\n")
print(len(TABLE["cases"]))
