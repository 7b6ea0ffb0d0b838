"""Writes config_rules.json: what airbyte-cdk makes of configs by a manifest's config_normalization_rules.

    pip install airbyte-cdk==7.39.1
    python engine/tests/golden/config_rules.py

The result is committed, so that the tests need no Python. An outcome is {"ok": config} or {"error": name}.
"""
import copy
import itertools
import json
import pathlib

from airbyte_cdk.sources.declarative.models import declarative_component_schema as models
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory

FIELD = {"type": "AddedFieldDefinition"}
CONFIGS = [
    {"account": "a-1", "region": "eu", "auth": {"kind": "old", "token": "t"}, "ids": ["1", "2"], "n": 5},
    {"region": "us", "auth": {"kind": "new"}, "schema_text": "{\"a\": 1}", "list": [{"a": 1}, {"a": "x"}]},
    {"region": 7, "auth": "none"},
]
RULES = [
    {"transformations": [{"type": "ConfigAddFields", "fields": [{**FIELD, "path": ["accounts"], "value": "{{ [config['account']] }}"}], "condition": "{{ config.get('account') }}"}]},
    {"transformations": [{"type": "ConfigAddFields", "fields": [{**FIELD, "path": ["auth", "made"], "value": "12"}, {**FIELD, "path": ["copy"], "value": "{{ config.auth.made }}", "value_type": "string"}]}]},
    {"transformations": [{"type": "ConfigAddFields", "fields": [{**FIELD, "path": ["x"], "value": "{{ config.region }}"}], "condition": "{{ value == 'eu' }}"}]},
    {"transformations": [{"type": "ConfigRemapField", "field_path": ["region"], "map": {"eu": "https://eu.h", "us": "{{ config.region }}.h"}}]},
    {"transformations": [{"type": "ConfigRemapField", "field_path": ["auth", "kind"], "map": {"old": "key", "new": 3}}]},
    {"transformations": [{"type": "ConfigRemapField", "field_path": ["auth", "nothing", "deeper"], "map": {"old": "key"}}]},
    {"transformations": [{"type": "ConfigRemoveFields", "field_pointers": [["account"], ["auth", "token"], ["ids", "0"], ["nothing"]]}]},
    {"transformations": [{"type": "ConfigRemoveFields", "field_pointers": [["region"]], "condition": "{{ config.region == 'eu' }}"}]},
    {
        "config_migrations": [{"type": "ConfigMigration", "description": "d", "transformations": [
            {"type": "ConfigAddFields", "fields": [{**FIELD, "path": ["accounts"], "value": "{{ config.account }}"}]}, {"type": "ConfigRemoveFields", "field_pointers": [["account"]]},
        ]}],
        "transformations": [{"type": "ConfigAddFields", "fields": [{**FIELD, "path": ["seen"], "value": "{{ config.accounts }}"}]}],
    },
    {"validations": [{"type": "DpathValidator", "field_path": ["region"], "validation_strategy": {"type": "ValidateAdheresToSchema", "base_schema": {"type": "integer"}}}]},
    {"validations": [{"type": "DpathValidator", "field_path": ["schema_text"], "validation_strategy": {"type": "ValidateAdheresToSchema", "base_schema": {"type": "object", "required": ["b"]}}}]},
    {"validations": [{"type": "DpathValidator", "field_path": ["list", "*", "a"], "validation_strategy": {"type": "ValidateAdheresToSchema", "base_schema": {"type": "integer"}}}]},
    {"validations": [{"type": "DpathValidator", "field_path": ["auth"], "validation_strategy": {"type": "ValidateAdheresToSchema", "base_schema": {"type": "object", "required": ["kind"]}}}]},
    {},
]


def outcome(rules, config):
    own = copy.deepcopy(config)
    definition = {"type": "Spec", "connection_specification": {"type": "object"}, "config_normalization_rules": {"type": "ConfigNormalizationRules", **rules}}
    spec = ModelToComponentFactory().create_component(models.Spec, definition, {})
    try:
        spec.migrate_config(own)
        spec.transform_config(own)
        spec.validate_config(own)
    except Exception as error:  # noqa: BLE001
        return {"error": type(error).__name__}
    return {"ok": own}


TABLE = [{"rules": rules, "config": config, **outcome(rules, config)} for rules, config in itertools.product(RULES, CONFIGS)]
pathlib.Path(__file__).with_name("config_rules.json").write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in TABLE) + "\n]\n")
print(len(TABLE))
