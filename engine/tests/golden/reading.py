"""Writes reading.json: which records airbyte-cdk finds in answers, keeps, and changes, and which addresses it asks.

`cargo xtask cdk-goldens` runs this. The result is committed, so that the tests need no Python.
"""
import itertools
import json
import pathlib

import requests

from airbyte_cdk.sources.declarative.decoders.json_decoder import JsonDecoder
from airbyte_cdk.sources.declarative.extractors.dpath_extractor import DpathExtractor
from airbyte_cdk.sources.declarative.extractors.record_filter import RecordFilter
from airbyte_cdk.sources.declarative.interpolation.interpolated_string import InterpolatedString
from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.declarative.transformations.add_fields import AddedFieldDefinition, AddFields
from airbyte_cdk.sources.declarative.transformations.remove_fields import RemoveFields
from airbyte_cdk.sources.streams.http.http_client import HttpClient
from airbyte_cdk.sources.types import StreamSlice

CONFIG = {"key": "data", "least": 2, "name": "Shop"}
PATHS = [
    [], ["data"], ["data", "items"], ["data", "*"], ["*"], ["data", "0"], ["data", "1"], ["data", "9"], ["data", "-1"], ["data", "*", "id"], ["data", "items", "*"], ["data", "items", "0"],
    ["{{ config['key'] }}"], ["missing"], ["data", "missing"], ["*", "*"], ["a.b"], ["a/b"], ["0"], ["data", "items", "*", "sub"], ["data", "*", "items"], [""], ["data", ""], ["d*"], ["*a*"], ["?ata"], ["[de]ata"], ["**"], ["**", "items"], ["data", "**", "id"], ["d*", "*"], ["data", "i*", "*"], ["data", "-1", "id"], ["data", "-2"], ["-1"], ["data", "*", "i?"], ["data", "[!i]*"], ["*", "*", "id"], ["**", "**"], ["data", "[a"],
]
BODIES = [
    {}, [], {"data": []}, {"data": {}}, {"data": None}, {"data": 5}, {"data": "text"}, {"data": ""}, {"data": 0}, {"data": False}, {"data": [{"id": 1}, {"id": 2}]}, {"data": {"id": 1}},
    {"data": {"items": [{"id": 1}, {"id": 2, "sub": {"x": 1}}]}}, {"data": {"items": {"id": 3}}}, {"data": [{"items": [{"id": 4}]}, {"items": []}, {"other": 1}]}, {"data": [[{"id": 5}], [{"id": 6}, {"id": 7}]]},
    {"data": {"a": {"id": 8}, "b": {"id": 9}}}, {"data": {"a": [{"id": 8}], "b": []}}, [{"data": [{"id": 1}]}, {"data": [{"id": 2}]}, {"data": []}], [{"id": 1}, {"id": 2}], [1, "x", None, {"id": 3}],
    {"a.b": [{"id": 1}]}, {"a/b": [{"id": 1}]}, {"a": {"b": [{"id": 1}]}}, {"0": [{"id": 1}]}, {"data": [1, "x", None, {"id": 1}]}, {"data": {"items": None}}, {"": [{"id": 1}]}, {"data": {"": {"id": 1}}}, {"data": True},
]
RECORDS = [
    {"id": 1}, {"id": 2, "kind": "a"}, {"id": 3, "kind": "b", "tags": ["x"]}, {"id": "2"}, {"id": None, "kind": ""}, {"id": 0, "deep": {"er": {"x": 1}}}, {"id": 2.5, "flag": True}, {"id": 10, "flag": "false", "at": "2024-01-05"}, {},
]
CONDITIONS = [
    "{{ record['id'] }}", "{{ record.id }}", "{{ record['id'] == 2 }}", "{{ record['id'] != 2 }}", "{{ record.kind == 'a' }}", "{{ record.get('kind') }}", "{{ record['kind'] in ['a', 'b'] }}", "{{ 'kind' in record }}",
    "{{ 'x' in record.get('tags', []) }}", "{{ record.get('deep', {}).get('er', {}).get('x') }}", "{{ record['flag'] }}", "{{ not record['flag'] }}", "{{ record.flag is defined }}", "{{ record['kind'] is none }}", "{{ record['kind'] is not none }}",
    "{{ record.id is number }}", "{{ record.id is string }}", "{{ record['at'] > '2024-01-01' }}", "{{ record.get('at', '') > stream_slice['start'] }}", "{{ record.tags | length > 0 }}", "{{ record.id | int > config.least }}", "{{ record.id | string | length == 1 }}",
    "{{ record }}", "True", "False", "no", "0", "{{ true and false }}", "{{ record['id'] in [1, 2] or record['kind'] == 'b' }}", "{{ (record.kind or 'none') ~ '!' == 'none!' }}", "{{ record.get('tags')[0] == 'x' if record.get('tags') else false }}",
]
VALUES = [
    "{{ record['id'] }}", "{{ record['kind'] }}", "{{ record['id'] ~ '' }}", "{{ record.tags }}", "{{ record['deep'] }}", "{{ record }}", "{{ config['name'] }}", "{{ stream_slice['start'] }}", "{{ stream_slice }}", "plain", "12", "0012", "1.50", "True", "None", "[1, 2]",
    "{'a': 1}", "1,2", "'quoted'", "", "{{ record.get('kind', 'unknown') }}", "{{ record['id'] | string }}", "{{ [record['id'], config['least']] }}", "{{ {'k': record.id} }}", "{{ record['flag'] }}", "{{ record['nothing'] }}", "{{ record['at'] | default('none') }}", "{{ record['id'] == 2 }}", "x{{ record['id'] }}y",
    "{{ '7' }}", "{{ '007' }}", "{{ '1e3' }}", "{{ record['kind'] | upper }}", "{{ none }}", "{{ record.deep.er.x }}",
]
KINDS = {None: None, "string": str, "integer": int, "number": float, "boolean": bool}
TARGETS = [["new"], ["deep", "er", "y"], ["deep", "new", "y"], ["id"], ["tags"], ["a.b"], ["kind"]]
POINTERS = [
    [["id"]], [["deep"]], [["deep", "er"]], [["deep", "er", "x"]], [["missing"]], [["deep", "missing"]], [["id"], ["kind"]], [["*"]], [["deep", "*"]], [["deep", "*", "x"]], [["id", "x"]], [["tags"]], [["a.b"]], [["id"], ["id"]],
]
MORE_RECORDS = RECORDS + [{"deep": {"er": 5, "other": {"x": 2, "y": 3}}, "a.b": 1}, {"deep": None}, {"deep": {}}]
BASES = ["https://x.example", "https://x.example/", "https://x.example/v1", "https://x.example/v1/", "https://x.example:8080/a/b", "http://x.example/v1//", "https://x.example/a b"]
URL_PATHS = ["", "/", "items", "/items", "items/", "//items", "a/b", "/a/b?c=d", "?a=1", "items?x=1&y=2", "items#part", "./items", "../items", "a/../b", "a b", "\u00fc", "a%20b", "a/x:y", "https://other.example/z", "items;v=1", "a//b", "items?q=(a:List(b,c))", "items?d=2024-01-01T00:00:00%2B00:00"]
QUERIES = [
    {}, {"a": "1"}, {"a": 1, "b": 2.5, "c": True}, {"a": [1, "x", None]}, {"a": None, "b": "x"}, {"a b": "c d"}, {"a": "\u00fc&=+/?"}, {"a": ""}, {"a": "1,2"}, {"a": "(x:y)"}, {"a": "~-_.!*'"}, {"a": []}, {"x": "1"}, {"x": "2"}, {"x": 1, "y": "2"}, {"a[b]": "c"}, {"a": "100%"}, {"a": "a+b"}, {"a": "\n"},
]
URLS = ["https://x.example/i", "https://x.example/i?x=1", "https://x.example/i?x=1&y=2", "https://x.example/i?q=(a:List(b,c))&x=1", "https://x.example/i?x=a%20b", "https://x.example/i?x=1&x=2", "https://x.example/i?x", "https://x.example/i?"]


def extracted():
    for path, body in itertools.product(PATHS, BODIES):
        response = requests.Response()
        response.status_code = 200
        response._content = json.dumps(body).encode()
        extractor = DpathExtractor(field_path=path, config=CONFIG, decoder=JsonDecoder(parameters={}), parameters={})
        try:
            records = list(extractor.extract_records(response))
        except Exception as error:
            records = type(error).__name__
        yield {"path": path, "body": body, "records": records}


def kept():
    for condition in CONDITIONS:
        found = []
        for record in RECORDS:
            record_filter = RecordFilter(config=CONFIG, condition=condition, parameters={})
            try:
                records = record_filter.filter_records([record], stream_state={}, stream_slice=StreamSlice(partition={}, cursor_slice={"start": "2024-01-03"}))
                found.append(bool(list(records)))
            except Exception as error:
                found.append(type(error).__name__)
        yield {"condition": condition, "kept": found}


def added():
    slice_ = StreamSlice(partition={"p": 1}, cursor_slice={"start": "2024-01-03"})
    for value, (name, kind) in itertools.product(VALUES, KINDS.items()):
        for target in TARGETS if name is None else TARGETS[:1]:
            for record in RECORDS[1:7]:
                changed = json.loads(json.dumps(record))
                field = AddedFieldDefinition(path=target, value=value, value_type=kind, parameters={})
                try:
                    AddFields(fields=[field], parameters={}).transform(changed, config=CONFIG, stream_slice=slice_)
                except Exception as error:
                    changed = type(error).__name__
                yield {"value": value, "value_type": name, "path": target, "record": record, "after": changed}


def removed():
    for pointers, record in itertools.product(POINTERS, MORE_RECORDS):
        changed = json.loads(json.dumps(record))
        try:
            RemoveFields(field_pointers=pointers, parameters={}).transform(changed)
        except Exception as error:
            changed = type(error).__name__
        yield {"pointers": pointers, "record": record, "after": changed}


def joined():
    for base, path in itertools.product(BASES, URL_PATHS):
        address = HttpRequester._join_url(base, path.lstrip("/"))
        yield {"base": base, "path": path, "address": requests.Request("GET", address).prepare().url}


def queries():
    client = HttpClient(name="x", logger=None)
    for url, parameters in itertools.product(URLS, QUERIES):
        prepared = client._create_prepared_request("GET", url, dedupe_query_params=True, params=parameters)
        yield {"url": url, "parameters": parameters, "address": prepared.url}


def main():
    tables = {"extracted": extracted(), "kept": kept(), "added": added(), "removed": removed(), "joined": joined(), "queries": queries()}
    parts = []
    for name, cases in tables.items():
        lines = [json.dumps(case, ensure_ascii=False) for case in cases]
        parts.append(json.dumps(name) + ": [\n" + ",\n".join(lines) + "\n]")
        print(name, len(lines))
    head = '"config": ' + json.dumps(CONFIG) + ',\n"records": ' + json.dumps(RECORDS) + ",\n"
    pathlib.Path(__file__).with_name("reading.json").write_text("{" + head + ",\n".join(parts) + "}\n")


main()
