//! `JwtAuthenticator`: a token that is signed here, anew for each request.
//!
//! ring signs. What it does not do is refused by name: the curves secp256k1, P-521 and Ed448, and keys that are encrypted.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value};

use super::KeyPlace;
use crate::expr::{EvalError, Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::option::RequestOption;
use crate::request::value::{Field, FieldError, at, load_mapping, mapping};

/// How long a token is good if nobody says so, in seconds.
const LANGUAGE_LIFETIME: u64 = 1200;
/// What the authenticator sets itself.
const OWN_HEADERS: &[&str] = &["kid", "alg", "typ", "cty"];
const OWN_CLAIMS: &[&str] = &["iss", "sub", "aud", "iat", "exp", "nbf"];

/// `JwtAuthenticator`.
#[derive(Debug, Clone)]
pub(crate) struct Jwt {
    secret: Template,
    algorithm: Algorithm,
    /// The secret is encoded before it is used.
    encodes_secret: bool,
    lifetime: u64,
    prefix: Option<Template>,
    headers: Vec<(&'static str, Template)>,
    claims: Vec<(&'static str, Template)>,
    more_headers: Vec<(Template, Field)>,
    more_claims: Vec<(Template, Field)>,
    into: KeyPlace,
    place: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("HS256", Algorithm::Hs256),
    ("HS384", Algorithm::Hs384),
    ("HS512", Algorithm::Hs512),
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
];

impl Jwt {
    pub(super) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Jwt> {
        component.refuse(&["passphrase"], &[], problems);
        if component.get("secret_key").is_none() {
            component.missing("secret_key", problems);
        }
        let secret = component.template("secret_key", Place::SIGNED, problems);
        let name = component.text("algorithm", problems).unwrap_or_default();
        let algorithm = ALGORITHMS.iter().find(|(known, _)| *known == name);
        if algorithm.is_none() {
            let known: Vec<&str> = ALGORITHMS.iter().map(|(known, _)| *known).collect();
            let message = format!("one of these is needed here: {}", known.join(", "));
            problems.add(component.path_of("algorithm"), message);
        }
        let lifetime = component.whole_number("token_duration", problems);
        let part = |field: &str, names: &[&'static str], problems: &mut Problems| {
            let members = component.get(field).and_then(Value::as_object);
            let mut parts = Vec::new();
            for name in names {
                let value = members
                    .and_then(|members| members.get(*name))
                    .filter(|value| !value.is_null() && *value != "");
                if let Some(value) = value {
                    let place = format!("{}/{name}", component.path_of(field));
                    let value = component.template_of(value, &place, Place::SIGNED, problems);
                    parts.extend(value.map(|value| (*name, value)));
                }
            }
            parts
        };
        let mut headers = part("jwt_headers", &["kid", "typ", "cty"], problems);
        if component
            .get("jwt_headers")
            .is_none_or(|own| own.get("typ").is_none())
        {
            let place = component.path_of("jwt_headers");
            let usual = Value::String("JWT".to_owned());
            let usual = component.template_of(&usual, &place, Place::SIGNED, problems);
            headers.extend(usual.map(|usual| ("typ", usual)));
        }
        let claims = part("jwt_payload", &["iss", "sub", "aud"], problems);
        let more = |name: &str, problems: &mut Problems| {
            load_mapping(component, name, Place::SIGNED, problems)
        };
        let option = component.child("request_option", &["RequestOption"], problems);
        let into = match option {
            Some(option) => RequestOption::load(&option, problems).map(KeyPlace::Option),
            None if component.get("request_option").is_some() => None,
            None => {
                let header = Value::String("Authorization".to_owned());
                let place = component.path_of("request_option");
                let header = component.template_of(&header, &place, Place::CONFIG, problems);
                header.map(KeyPlace::Header)
            }
        };
        Some(Jwt {
            secret: secret?,
            algorithm: algorithm?.1,
            encodes_secret: component.boolean("base64_encode_secret_key", problems),
            lifetime: lifetime.unwrap_or(LANGUAGE_LIFETIME),
            prefix: component.template("header_prefix", Place::SIGNED, problems),
            headers,
            claims,
            more_headers: more("additional_jwt_headers", problems),
            more_claims: more("additional_jwt_payload", problems),
            into: into?,
            place: component.path.clone(),
        })
    }

    pub(super) fn placement(&self) -> &KeyPlace {
        &self.into
    }

    /// The signed token, with its prefix if it has one.
    pub(super) fn token(&self, scope: &Scope<'_>) -> Result<String, FieldError> {
        let text = |template: &Template| template.text(scope).map_err(|error| at(template, error));
        let Some(now) = scope.asked_at.or(scope.now) else {
            return Err(self.wrong("a token cannot be signed here".to_owned()));
        };
        let mut header = self.open(&self.more_headers, OWN_HEADERS, scope)?;
        header.insert("alg".to_owned(), self.algorithm.name().into());
        for (name, value) in &self.headers {
            header.insert((*name).to_owned(), text(value)?.into());
        }
        header.sort_keys();
        let mut claims = self.open(&self.more_claims, OWN_CLAIMS, scope)?;
        for (name, template) in &self.claims {
            let value = template.value(scope).map_err(|error| at(template, error))?;
            let value = match value.map(crate::expr::Val::into_json) {
                // An audience may be a list; everything else is a text.
                Some(Value::Array(list)) if *name == "aud" => Value::Array(list),
                _ => text(template)?.into(),
            };
            claims.insert((*name).to_owned(), value);
        }
        let now = now.timestamp();
        let lifetime = i64::try_from(self.lifetime).unwrap_or(i64::MAX);
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), now.saturating_add(lifetime).into());
        claims.insert("nbf".to_owned(), now.into());
        let secret = self
            .secret
            .credential(scope)
            .map_err(|error| at(&self.secret, error))?;
        let secret = if self.encodes_secret {
            STANDARD.encode(secret)
        } else {
            secret
        };
        let part =
            |value: Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(value).to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self
            .algorithm
            .sign(&secret, message.as_bytes())
            .map_err(|reason| self.wrong(reason))?;
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        let prefix = self.prefix.as_ref().map(text).transpose()?;
        Ok(match prefix.filter(|prefix| !prefix.is_empty()) {
            Some(prefix) => format!("{prefix} {token}"),
            None => token,
        })
    }

    /// Further members, none of which may be among the authenticator's own.
    fn open(
        &self,
        members: &[(Template, Field)],
        own: &[&str],
        scope: &Scope<'_>,
    ) -> Result<Map<String, Value>, FieldError> {
        let members = mapping(members, scope)?;
        match own.iter().find(|name| members.contains_key(**name)) {
            None => Ok(members),
            Some(name) => Err(self.wrong(format!(
                "\"{name}\" is set by the authenticator itself and cannot be an additional member"
            ))),
        }
    }

    fn wrong(&self, message: String) -> FieldError {
        FieldError {
            path: self.place.clone(),
            source: "JwtAuthenticator".to_owned(),
            error: EvalError::Value(message),
        }
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        ALGORITHMS
            .iter()
            .find(|(_, algorithm)| *algorithm == self)
            .map_or("", |(name, _)| name)
    }

    /// `Err` says why there is no signature, without a word of the key.
    fn sign(self, secret: &str, message: &[u8]) -> Result<Vec<u8>, String> {
        use Algorithm as A;
        let random = SystemRandom::new();
        match self {
            A::Hs256 | A::Hs384 | A::Hs512 => {
                let kind = match self {
                    A::Hs256 => ring::hmac::HMAC_SHA256,
                    A::Hs384 => ring::hmac::HMAC_SHA384,
                    _ => ring::hmac::HMAC_SHA512,
                };
                let key = ring::hmac::Key::new(kind, secret.as_bytes());
                Ok(ring::hmac::sign(&key, message).as_ref().to_vec())
            }
            A::Es256 | A::Es384 => {
                let kind = if self == A::Es256 {
                    &signature::ECDSA_P256_SHA256_FIXED_SIGNING
                } else {
                    &signature::ECDSA_P384_SHA384_FIXED_SIGNING
                };
                let key = private_key(secret)?;
                let pair = EcdsaKeyPair::from_pkcs8(kind, key.secret_der(), &random)
                    .map_err(|error| self.unusable(&error))?;
                let signed = pair.sign(&random, message);
                signed
                    .map(|signed| signed.as_ref().to_vec())
                    .map_err(|_| unsigned())
            }
            A::EdDsa => {
                let key = private_key(secret)?;
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_der())
                    .map_err(|error| self.unusable(&error))?;
                Ok(pair.sign(message).as_ref().to_vec())
            }
            _ => {
                let key = private_key(secret)?;
                let pair = match &key {
                    PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                    other => RsaKeyPair::from_pkcs8(other.secret_der()),
                };
                let pair = pair.map_err(|error| self.unusable(&error))?;
                let padding: &dyn signature::RsaEncoding = match self {
                    A::Rs256 => &signature::RSA_PKCS1_SHA256,
                    A::Rs384 => &signature::RSA_PKCS1_SHA384,
                    A::Rs512 => &signature::RSA_PKCS1_SHA512,
                    A::Ps256 => &signature::RSA_PSS_SHA256,
                    A::Ps384 => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut signed)
                    .map_err(|_| unsigned())?;
                Ok(signed)
            }
        }
    }

    fn unusable(self, error: &ring::error::KeyRejected) -> String {
        format!(
            "the private key cannot be used for {}: {error}; a key in PKCS#8 form (BEGIN PRIVATE KEY) is needed",
            self.name()
        )
    }
}

fn unsigned() -> String {
    "the token could not be signed".to_owned()
}

/// The first private key of a PEM text.
fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        "secret_key holds no private key in PEM form (BEGIN PRIVATE KEY), or an encrypted one"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use ring::signature::{KeyPair as _, UnparsedPublicKey};
    use serde_json::json;

    use super::*;

    const KINDS: &[&str] = &["JwtAuthenticator"];

    fn table() -> Value {
        serde_json::from_str(include_str!("../../tests/golden/signed_tokens.json")).unwrap()
    }

    fn load(fields: &Value, problems: &mut Problems) -> Option<Jwt> {
        let mut definition = fields.clone();
        definition["type"] = json!("JwtAuthenticator");
        let component = Component::read(&definition, "", KINDS, problems).unwrap();
        Jwt::load(&component, problems)
    }

    /// Signatures of PSS and ECDSA hold randomness.
    fn holds(algorithm: &str, config: &Value, message: &[u8], signature: &[u8]) -> bool {
        let random = SystemRandom::new();
        let key = |name: &str| private_key(config[name].as_str().unwrap()).unwrap();
        let of_curve =
            |name: &str, signs, verifies: &'static dyn signature::VerificationAlgorithm| {
                let pair =
                    EcdsaKeyPair::from_pkcs8(signs, key(name).secret_der(), &random).unwrap();
                UnparsedPublicKey::new(verifies, pair.public_key().as_ref().to_vec())
            };
        let of_rsa = |verifies: &'static dyn signature::VerificationAlgorithm| {
            let pair = RsaKeyPair::from_pkcs8(key("rsa").secret_der()).unwrap();
            UnparsedPublicKey::new(verifies, pair.public_key().as_ref().to_vec())
        };
        let public = match algorithm {
            "PS256" => of_rsa(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => of_rsa(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => of_rsa(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => of_curve(
                "p256",
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                &signature::ECDSA_P256_SHA256_FIXED,
            ),
            _ => of_curve(
                "p384",
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                &signature::ECDSA_P384_SHA384_FIXED,
            ),
        };
        public.verify(message, signature).is_ok()
    }

    #[test]
    fn tokens_are_those_of_the_reference() {
        let table = table();
        let config = &table["config"];
        let now = DateTime::parse_from_rfc3339(table["now"].as_str().unwrap()).unwrap();
        let scope = Scope::of_read(config, now.to_utc());
        for case in table["cases"].as_array().unwrap() {
            let mut problems = Problems::default();
            let jwt = load(&case["fields"], &mut problems);
            assert!(problems.0.is_empty(), "{case}: {:?}", problems.0);
            let token = jwt.unwrap().token(&scope);
            let Ok(token) = token else {
                assert!(case.get("error").is_some(), "{case}: {token:?}");
                continue;
            };
            let expected = case["token"].as_str().unwrap();
            let (prefix, token) = token.rsplit_once(' ').unwrap_or(("", &token));
            assert_eq!(case["prefix"], prefix, "{case}");
            let algorithm = case["fields"]["algorithm"].as_str().unwrap();
            if !algorithm.starts_with("PS") && !algorithm.starts_with("ES") {
                assert_eq!(token, expected, "{case}");
                continue;
            }
            let (message, signature) = token.rsplit_once('.').unwrap();
            assert_eq!(message, expected.rsplit_once('.').unwrap().0, "{case}");
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            assert!(
                holds(algorithm, config, message.as_bytes(), &signature),
                "{case}"
            );
        }
    }

    #[test]
    fn what_cannot_be_signed_is_refused_when_the_manifest_is_loaded() {
        for (fields, path) in [
            (
                json!({"secret_key": "x", "algorithm": "ES512"}),
                "/algorithm",
            ),
            (
                json!({"secret_key": "x", "algorithm": "HS256", "passphrase": "p"}),
                "/passphrase",
            ),
            (json!({"algorithm": "HS256"}), "/secret_key"),
        ] {
            let mut problems = Problems::default();
            load(&fields, &mut problems);
            assert_eq!(problems.0[0].path, path, "{fields}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let config =
            json!({"key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"});
        let fields = json!({"secret_key": "{{ config.key }}", "algorithm": "RS256"});
        let jwt = load(&fields, &mut Problems::default()).unwrap();
        let error = jwt
            .token(&Scope::of_read(&config, DateTime::UNIX_EPOCH))
            .unwrap_err();
        assert!(error.error.to_string().contains("PKCS#8"), "{error:?}");
        assert!(!format!("{error:?}").contains("c2VjcmV0"));
    }
}
