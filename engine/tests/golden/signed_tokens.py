"""Writes signed_tokens.json: the tokens that airbyte-cdk signs, with keys made up for this table.

    pip install airbyte-cdk==7.39.1
    python engine/tests/golden/signed_tokens.py

The result is committed, so that the tests need no Python. Signatures of RS and EdDSA are the same each time they are made; those of PS and ES
are not, so only their heads and claims can be compared.
"""
import json
import pathlib
import types
from datetime import datetime, timezone

import jwt as pyjwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

import airbyte_cdk.sources.declarative.auth.jwt as module
from airbyte_cdk.sources.declarative.models import declarative_component_schema as models
from airbyte_cdk.sources.declarative.parsers.manifest_component_transformer import ManifestComponentTransformer
from airbyte_cdk.sources.declarative.parsers.model_to_component_factory import ModelToComponentFactory

NOW = datetime(2026, 11, 22, 4, 39, 58, tzinfo=timezone.utc)
module.datetime = types.SimpleNamespace(now=lambda: NOW)


def pem(key, form=serialization.PrivateFormat.PKCS8):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CONFIG = {
    "secret": "a shared secret of some length, so that it will do", "rsa": pem(RSA), "rsa_old": pem(RSA, serialization.PrivateFormat.TraditionalOpenSSL),
    "p256": pem(ec.generate_private_key(ec.SECP256R1())), "p384": pem(ec.generate_private_key(ec.SECP384R1())), "ed": pem(ed25519.Ed25519PrivateKey.generate()),
    "account": json.dumps({"private_key": pem(RSA), "client_email": "me@h.example"}), "id": "client",
}
FIELDS = [
    *({"algorithm": name, "secret_key": "{{ config.secret }}"} for name in ["HS256", "HS384", "HS512"]),
    *({"algorithm": name, "secret_key": "{{ config.rsa }}"} for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
    {"algorithm": "RS256", "secret_key": "{{ config.rsa_old }}"}, {"algorithm": "ES256", "secret_key": "{{ config.p256 }}"}, {"algorithm": "ES384", "secret_key": "{{ config.p384 }}"},
    {"algorithm": "EdDSA", "secret_key": "{{ config.ed }}"}, {"algorithm": "HS256", "secret_key": "{{ config.secret }}", "base64_encode_secret_key": True},
    {"algorithm": "RS256", "secret_key": "{{ json_loads(config['account'])['private_key'] }}", "token_duration": 3600, "header_prefix": "Bearer",
     "jwt_payload": {"iss": "{{ json_loads(config['account'])['client_email'] }}", "sub": "{{ config.id }}", "aud": "https://h/token"}, "additional_jwt_payload": {"scope": "a b", "n": "{{ 5 }}"}},
    {"algorithm": "HS256", "secret_key": "{{ config.secret }}", "jwt_headers": {"kid": "{{ config.id }}", "typ": "JWT", "cty": "x"}, "additional_jwt_headers": {"h": "{{ config.id }}"}},
    {"algorithm": "HS256", "secret_key": "{{ config.secret }}", "jwt_headers": {"kid": "k"}, "header_prefix": "{{ config.nothing or 'Token' }}"},
    {"algorithm": "HS256", "secret_key": "{{ config.secret }}", "additional_jwt_payload": {"iss": "me"}},
    {"algorithm": "HS256", "secret_key": "{{ config.secret }}", "additional_jwt_headers": {"alg": "none"}},
    {"algorithm": "RS256", "secret_key": "no key"},
]


def case(fields):
    filled = ManifestComponentTransformer().propagate_types_and_parameters("", {"type": "JwtAuthenticator", **fields}, {})
    authenticator = ModelToComponentFactory().create_component(models.JwtAuthenticator, filled, CONFIG)
    try:
        whole = authenticator.token
    except Exception as error:  # noqa: BLE001
        return {"fields": fields, "error": type(error).__name__}
    prefix, _, token = whole.rpartition(" ")
    claims = pyjwt.decode(token, options={"verify_signature": False})
    return {"fields": fields, "prefix": prefix, "header": pyjwt.get_unverified_header(token), "claims": claims, "token": token}


TABLE = {"now": NOW.isoformat(), "config": CONFIG, "cases": [case(fields) for fields in FIELDS]}
pathlib.Path(__file__).with_name("signed_tokens.json").write_text(json.dumps(TABLE, separators=(",", ":")).replace('},{"', '},\n{"') + "\n")
print(len(TABLE["cases"]))
