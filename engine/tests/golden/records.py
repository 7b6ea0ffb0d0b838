"""Writes records.json: what airbyte-cdk makes of records, by schema normalisation and by transformations.

    pip install airbyte-cdk==7.39.1
    python engine/tests/golden/records.py

The result is committed, so that the tests need no Python. An outcome is {"ok": value} or {"error": name}.
"""
import copy
import itertools
import json
import logging
import math
import pathlib

from airbyte_cdk.sources.declarative.models import declarative_component_schema as models
from airbyte_cdk.sources.declarative.parsers.manifest_component_transformer import ManifestComponentTransformer
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory
from airbyte_cdk.sources.types import StreamSlice
from airbyte_cdk.sources.utils.transform import TransformConfig, TypeTransformer

logging.disable(logging.CRITICAL)
CONFIG = {"old": "a", "new": "_", "field": "d", "prefix": "p_", "n": 1}
SCHEMAS = [
    {"type": "string"}, {"type": ["null", "string"]}, {"type": "number"}, {"type": ["number", "null"]}, {"type": "integer"}, {"type": ["null", "integer"]},
    {"type": "boolean"}, {"type": ["null", "boolean"]}, {"type": ["string", "integer"]}, {"type": "null"}, {}, {"type": "object"},
    {"type": "array"}, {"type": ["null", "array"]}, {"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": ["string", "null"]}},
    {"type": "array", "items": {"type": ["object"]}}, {"type": "array", "items": {"type": ["integer"]}}, {"type": "array", "items": {}},
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": ["null", "string"]}}},
    {"type": ["null", "object"], "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}}},
    {"properties": {"a": {"type": "number"}}}, {"items": {"type": "integer"}}, {"type": "string", "properties": {"a": {"type": "string"}}},
]
VALUES = [
    None, True, False, 0, 1, 12, -7, 1.0, 1.5, -2.9, 0.1, 1e16, 1e22, 123456789012345678, "", "x", "12", " 12 ", "+5", "-0", "007", "1_000", "1__0", "_1", "1.5", "1.",
    ".5", "-.5e3", "1e5", "25.10", "0x1F", "nan", "inf", "-Infinity", "true", "Yes", " off ", "T", "0", "1", "2", "null", "None", "9007199254740993", "1.0", "12abc",
    [], [1, "2"], ["x", None], {}, {"a": "5", "b": 6}, {"a": "x", "b": None}, {"a": [{"a": 1}, {"a": None}, "y"], "c": 1}, {"a": {"b": [True, 1.0, "q'"]}}, [[1], {"a": 1}],
]
RECORDS = [
    {"Id": 1, "FirstName": "a", "lastName2": "b", "ABCDef": 1, "already_snake": 1, "with space": 2, "é Ü": 3, "a-b.c": 4, "_x_": 5, "2fa": 6, "x2y": 7, "$": 8, "A__B": 9, "HTTPServer9": 10},
    {"a": {"b": {"c": 1, "d": [1, 2, {"e": 3}]}, "Key A": {"Key B": 1}}, "d": {"x": 1, "y": {"z": None}}, "list": [1, [2, 3], {"a": 4}], "e": {}, "f": []},
    {"a": 1, "b": {"a": 2, "c": {"a": 3}}, "d": {"b": 1}, "k": ["x", "y", "z"], "ab": None, "abc": {"d": [{"n": 1, "m": 2}, {"n": 3}]}},
    {"d": {"a": {"p": 1}, "b": {"q": 2}}, "items": [{"a": 1, "b": {"a": 1}}, {"a": 2}, 3]},
    {},
]
TRANSFORMATIONS = [
    {"type": "KeysToLower"}, {"type": "KeysToSnakeCase"}, {"type": "FlattenFields"}, {"type": "FlattenFields", "flatten_lists": False}, {"type": "FlattenFields", "flatten_lists": True},
    {"type": "KeysReplace", "old": " ", "new": "_"}, {"type": "KeysReplace", "old": "{{ config['old'] }}", "new": "{{ config.new }}"}, {"type": "KeysReplace", "old": "a", "new": "{{ stream_slice.s }}"},
    {"type": "KeysReplace", "old": "b", "new": "{{ record.a }}"},
] + [
    {"type": "DpathFlattenFields", "field_path": path, **more}
    for path, more in itertools.product(
        [["d"], ["a", "b"], ["{{ config.field }}"], ["missing"], ["a"], ["d", "*"], ["items", "0"], ["abc", "d", "*"], ["a*"], ["**", "c"], ["k"]],
        [{}, {"delete_origin_value": True}, {"replace_record": True}, {"delete_origin_value": True, "key_transformation": {"type": "KeyTransformation", "prefix": "{{ config.prefix }}"}},
         {"key_transformation": {"type": "KeyTransformation", "prefix": "x.", "suffix": ".y"}, "replace_record": True}],
    )
] + [
    {"type": "RemoveFields", "field_pointers": pointers}
    for pointers in [
        [["a"]], [["b", "a"], ["d"]], [["*"]], [["a*"]], [["?b"]], [["[ab]"]], [["[!ab]"]], [["**"]], [["**", "a"]], [["b", "**"]], [["list", "0"]], [["list", "2"]], [["list", "-1"]], [["list", "*"]],
        [["items", "*", "a"]], [["items", "*"]], [["abc", "d", "0", "n"]], [["abc", "d", "*", "[mn]"]], [["missing", "x"]], [["list", "1", "1"]], [["k", "0"], ["k", "1"]], [["k", "2"], ["k", "1"]], [["**", "n"]],
        [["b", "c", "**", "a"]], [["[a"]], [["a]"]], [["Id", "x"]], [["*", "*"]],
    ]
] + [
    {"type": "RemoveFields", "field_pointers": [["**"]], "condition": condition}
    for condition in ["{{ property is none }}", "{{ property == 1 }}", "{{ property is string }}", ""]
] + [
    {"type": "AddFields", "fields": [{"path": path, "value": value, **more}], **outer}
    for path, value, more, outer in [
        (["new"], "12", {}, {}), (["new", "deep"], "{{ record.a }}", {}, {}), (["list", "1"], "x", {}, {}), (["list", "5"], "x", {}, {}), (["made", "2"], "x", {}, {}), (["made", "0", "k"], "1", {}, {}),
        (["new"], "12", {"value_type": "string"}, {}), (["new"], "1.5", {"value_type": "number"}, {}), (["new"], "1", {"value_type": "boolean"}, {}), (["d", "b"], "{{ stream_slice['s'] }}", {}, {}),
        (["new"], "{{ record['a'] }}", {}, {"condition": "{{ value is mapping }}"}), (["new"], "{{ record['a'] }}", {}, {"condition": "{{ path == ['new'] }}"}), (["{{ config.field }}"], "{{ 1 }}", {}, {}),
        (["new"], "{{ record.nothing }}", {}, {}), (["abc", "d", "1", "n"], "{{ record['abc']['d'] }}", {}, {}),
    ]
]


def outcome(function):
    try:
        result = function()
    except Exception as error:  # noqa: BLE001
        return {"error": type(error).__name__}
    return {"ok": result}


def finite(value):
    """JSON has neither infinity nor nan."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return value


def normalised():
    transformer = TypeTransformer(TransformConfig.DefaultSchemaNormalization)
    for schema, value in itertools.product(SCHEMAS, VALUES):
        record = {"v": copy.deepcopy(value)}
        whole = {"type": "object", "properties": {"v": schema}}
        yield {"schema": schema, "value": value, **outcome(lambda: transformer.transform(record, whole) or finite(record["v"]))}


def transformed():
    factory = ModelToComponentFactory()
    for definition, record in itertools.product(TRANSFORMATIONS, RECORDS):
        filled = ManifestComponentTransformer().propagate_types_and_parameters("", definition, {})
        transformation = factory.create_component(getattr(models, filled["type"]), filled, CONFIG)
        own = copy.deepcopy(record)
        run = lambda: transformation.transform(own, config=CONFIG, stream_slice=StreamSlice(partition={"s": "slice"}, cursor_slice={})) or own
        yield {"transformation": definition, "record": record, **outcome(run)}


TABLE = {"config": CONFIG, "normalised": list(normalised()), "transformed": list(transformed())}
pathlib.Path(__file__).with_name("records.json").write_text(json.dumps(TABLE, separators=(",", ":"), allow_nan=False).replace('},{"', '},\n{"') + "\n")
print(len(TABLE["normalised"]), len(TABLE["transformed"]))
