use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::{hmac, signature as public};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn verifier(variables: &[(&str, &str)]) -> Result<Verifier, ConfigError> {
    Verifier::configured(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
}

/// A verifier with public keys that accepts any issuer and any audience.
fn public(jwks: &str) -> Result<Verifier, ConfigError> {
    verifier(&[("JWT_JWKS", jwks), ("JWT_UNCHECKED", "iss,aud")])
}

fn hs256(claims: &Value) -> String {
    use_ring();
    let token = encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes()));
    format!("Bearer {}", token.expect("a token"))
}

fn in_seconds(seconds: i64) -> i64 {
    i64::try_from(get_current_timestamp()).expect("now") + seconds
}

async fn check(claims: Value) -> Result<String, TokenError> {
    let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
    verifier.caller(Some(&hs256(&claims))).await.map(String::from)
}

#[test]
fn missing_short_or_contradictory_configuration_is_refused() {
    let refused = |variables: &[(&str, &str)]| verifier(variables).err();
    assert_eq!(refused(&[]), Some(ConfigError::NoKeys));
    assert_eq!(refused(&[("JWT_SECRET", "")]), Some(ConfigError::NoKeys));
    let short = |name| Some(ConfigError::ShortSecret(name));
    assert_eq!(refused(&[("JWT_SECRET", "short")]), short("JWT_SECRET"));
    assert_eq!(refused(&[("JWT_SECRET", SECRET), ("JWT_SECRET_PREVIOUS", "short")]), short("JWT_SECRET_PREVIOUS"));
    for keys in [("JWT_JWKS", JWKS), ("JWT_JWKS_URL", "https://example.com/"), ("X", "")] {
        assert_eq!(refused(&[keys, ("JWT_SECRET_PREVIOUS", SECRET)]), Some(ConfigError::NothingToRotate));
    }
    for lifetime in ["-1", "1h", "1.5", " 1"] {
        assert_eq!(refused(&[("JWT_SECRET", SECRET), ("JWT_MAX_LIFETIME", lifetime)]), Some(ConfigError::BadLifetime));
    }
    assert_eq!(refused(&[("JWT_SECRET", SECRET), ("JWT_JWKS", "{}")]), Some(ConfigError::Contradiction));
    assert!(matches!(refused(&[("JWT_JWKS", "{}")]), Some(ConfigError::BadJwks(_))));
    assert!(matches!(refused(&[("JWT_JWKS", r#"{"keys":[]}"#)]), Some(ConfigError::BadJwks(_))));
    let symmetric = r#"{"keys":[{"kty":"oct","k":"AAECAwQFBgc","alg":"HS256"}]}"#;
    assert_eq!(
        refused(&[("JWT_JWKS", JWKS), ("JWT_JWKS_URL", "https://example.com/")]),
        Some(ConfigError::Contradiction)
    );
    assert!(matches!(refused(&[("JWT_JWKS_URL", "http://example.com/")]), Some(ConfigError::BadJwksUrl(_))));
    assert!(matches!(refused(&[("JWT_JWKS", symmetric)]), Some(ConfigError::BadJwks(_))));
}

#[tokio::test]
async fn the_subject_is_the_caller() {
    assert_eq!(check(json!({"sub": "ann", "exp": in_seconds(60)})).await, Ok("ann".to_owned()));
}

#[tokio::test]
async fn a_token_expires_after_a_minute_of_leeway() {
    assert!(check(json!({"sub": "ann", "exp": in_seconds(-50)})).await.is_ok());
    assert_eq!(check(json!({"sub": "ann", "exp": in_seconds(-70)})).await, Err(TokenError::Expired));
    assert_eq!(check(json!({"sub": "ann"})).await, Err(TokenError::Invalid));
}

#[tokio::test]
async fn a_token_is_not_valid_before_its_time() {
    assert!(check(json!({"sub": "ann", "exp": in_seconds(600), "nbf": in_seconds(50)})).await.is_ok());
    let early = check(json!({"sub": "ann", "exp": in_seconds(600), "nbf": in_seconds(70)})).await;
    assert_eq!(early, Err(TokenError::Invalid));
}

#[tokio::test]
async fn a_subject_has_1_to_255_characters_that_can_be_seen() {
    for sub in ["x".repeat(255), "ä".repeat(255)] {
        assert_eq!(check(json!({"sub": sub, "exp": in_seconds(60)})).await, Ok(sub));
    }
    for sub in [json!(""), json!("x".repeat(256)), json!(7), json!(null), json!("a\0b"), json!("a\u{202e}b")] {
        assert_eq!(check(json!({"sub": sub, "exp": in_seconds(60)})).await, Err(TokenError::Invalid));
    }
    assert_eq!(check(json!({"exp": in_seconds(60)})).await, Err(TokenError::Invalid));
}

#[tokio::test]
async fn issuer_and_audience_are_required_when_configured_and_ignored_otherwise() {
    let strict = verifier(&[("JWT_SECRET", SECRET), ("JWT_ISSUER", "us"), ("JWT_AUDIENCE", "app")]).expect("ok");
    let exp = in_seconds(60);
    let with = async |iss: Value, aud: Value| {
        strict.caller(Some(&hs256(&json!({"sub": "ann", "exp": exp, "iss": iss, "aud": aud})))).await.is_ok()
    };
    assert!(with(json!("us"), json!("app")).await && with(json!("us"), json!(["x", "app"])).await);
    assert!(!with(json!("them"), json!("app")).await && !with(json!("us"), json!("other")).await);
    assert!(strict.caller(Some(&hs256(&json!({"sub": "ann", "exp": exp})))).await.is_err());
    assert!(check(json!({"sub": "ann", "exp": exp, "iss": "x", "aud": "y"})).await.is_ok());
}

#[tokio::test]
async fn only_a_bearer_header_names_a_caller() {
    let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
    let header = hs256(&json!({"sub": "ann", "exp": in_seconds(60)}));
    assert_eq!(verifier.caller(None).await, Err(TokenError::Missing));
    assert_eq!(verifier.caller(Some(header.trim_start_matches("Bearer "))).await, Err(TokenError::Missing));
    assert_eq!(verifier.caller(Some(&header.replace("Bearer", "Basic"))).await, Err(TokenError::Missing));
    assert_eq!(verifier.caller(Some("Bearer x.y.z")).await, Err(TokenError::Invalid));
    assert!(verifier.caller(Some(&header.replace("Bearer", "bearer"))).await.is_ok());
}

/// A token with these parts as they are, which no library would produce.
fn hs256_of(header: &str, claims: &str) -> String {
    token(header, claims, Algorithm::HS256, SECRET.as_bytes())
}

/// A token with these parts and this signature.
fn token(header: &str, claims: &str, algorithm: Algorithm, key: &[u8]) -> String {
    let content = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = signature(algorithm, key, content.as_bytes());
    format!("Bearer {content}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn repeated_members_wrong_types_and_critical_extensions_make_a_token_invalid() {
    let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
    let exp = in_seconds(60);
    let (header, claims) = (r#"{"alg":"HS256"}"#, format!(r#"{{"sub":"ann","exp":{exp}}}"#));
    assert!(verifier.caller(Some(&hs256_of(header, &claims))).await.is_ok());
    for (header, claims) in [
        (header, format!(r#"{{"sub":"ann","sub":"eve","exp":{exp}}}"#)),
        (header, format!(r#"{{"sub":"ann","exp":1,"exp":{exp}}}"#)),
        (header, format!(r#"{{"sub":"ann","nbf":{},"nbf":1,"exp":{exp}}}"#, exp + 600)),
        (r#"{"alg":"none","alg":"HS256"}"#, claims.clone()),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, claims.clone()),
        (r#"{"alg":"HS256","crit":null}"#, claims.clone()),
        (r#"{"alg":"HS256","kid":7}"#, claims.clone()),
        (r#"["HS256"]"#, claims.clone()),
        (header, format!(r#"["ann",{exp}]"#)),
        (header, format!(r#"{{"sub":"ann","exp":"{exp}"}}"#)),
        (header, format!(r#"{{"sub":"ann","exp":{exp},"nbf":"0"}}"#)),
    ] {
        let caller = verifier.caller(Some(&hs256_of(header, &claims))).await;
        assert_eq!(caller, Err(TokenError::Invalid), "{header} {claims}");
    }
}

#[tokio::test]
async fn a_token_has_at_most_8_kb() {
    let sized = async |length| check(json!({"sub": "ann", "exp": in_seconds(60), "x": "x".repeat(length)})).await;
    assert!(sized(6_000).await.is_ok());
    assert_eq!(sized(6_200).await, Err(TokenError::Invalid));
}

// Made for these tests with `openssl genpkey`; they protect nothing.
const RSA_KEY: &[u8] = include_bytes!("../../testdata/rsa.der");
const EC_KEY: &[u8] = include_bytes!("../../testdata/ec.der");
const ED_KEY: &[u8] = include_bytes!("../../testdata/ed.der");
const JWKS: &str = include_str!("../../testdata/jwks.json");

/// A token for ann, signed with a private key or a secret.
fn signed(algorithm: Algorithm, kid: Option<&str>, key: &[u8]) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    let header = serde_json::to_string(&header).expect("JSON");
    token(&header, &json!({"sub": "ann", "exp": in_seconds(60)}).to_string(), algorithm, key)
}

fn signature(algorithm: Algorithm, key: &[u8], content: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let rsa = |encoding| {
        let pair = public::RsaKeyPair::from_der(key).expect("a key");
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(encoding, &random, content, &mut signature).expect("a signature");
        signature
    };
    match algorithm {
        Algorithm::HS256 => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), content).as_ref().to_vec(),
        Algorithm::RS256 => rsa(&public::RSA_PKCS1_SHA256),
        Algorithm::RS512 => rsa(&public::RSA_PKCS1_SHA512),
        Algorithm::ES256 => {
            let scheme = &public::ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = public::EcdsaKeyPair::from_pkcs8(scheme, key, &random).expect("a key");
            pair.sign(&random, content).expect("a signature").as_ref().to_vec()
        }
        Algorithm::EdDSA => {
            let pair = public::Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).expect("a key");
            pair.sign(content).as_ref().to_vec()
        }
        other => panic!("no test signs {other:?}"),
    }
}

#[tokio::test]
async fn public_keys_verify_rs256_es256_and_eddsa_with_or_without_a_key_id() {
    let verifier = public(JWKS).expect("a verifier");
    let keys = [(Algorithm::RS256, "rsa", RSA_KEY), (Algorithm::ES256, "ec", EC_KEY), (Algorithm::EdDSA, "ed", ED_KEY)];
    for (algorithm, kid, key) in &keys {
        for kid in [Some(*kid), None] {
            assert!(verifier.caller(Some(&signed(*algorithm, kid, key))).await.is_ok(), "{algorithm:?} {kid:?}");
        }
        let unknown = signed(*algorithm, Some("other"), key);
        assert_eq!(verifier.caller(Some(&unknown)).await, Err(TokenError::Invalid));
    }
}

#[tokio::test]
async fn with_public_keys_issuer_and_audience_are_required_unless_that_is_waived() {
    let refused = |more: &[(&str, &str)]| verifier(&[&[("JWT_JWKS", JWKS)], more].concat()).err();
    let unchecked = |variable, claim| Some(ConfigError::Unchecked { variable, claim });
    let (us, app) = (("JWT_ISSUER", "us"), ("JWT_AUDIENCE", "app"));
    assert_eq!(refused(&[us, app]), None);
    assert_eq!(refused(&[]), unchecked("JWT_ISSUER", "iss"));
    assert_eq!(refused(&[us]), unchecked("JWT_AUDIENCE", "aud"));
    assert_eq!(refused(&[app]), unchecked("JWT_ISSUER", "iss"));
    assert_eq!(refused(&[us, ("JWT_UNCHECKED", "aud")]), None);
    assert_eq!(refused(&[app, ("JWT_UNCHECKED", "iss")]), None);
    assert_eq!(refused(&[("JWT_UNCHECKED", "aud, iss")]), None);
    assert_eq!(refused(&[("JWT_UNCHECKED", "aud")]), unchecked("JWT_ISSUER", "iss"));
    for wrong in ["aud", "iss", "all", "yes"] {
        assert_eq!(refused(&[us, app, ("JWT_UNCHECKED", wrong)]), Some(ConfigError::BadUnchecked), "{wrong}");
    }
    let url = verifier(&[("JWT_JWKS_URL", "https://example.com/"), us]).err();
    assert_eq!(url, unchecked("JWT_AUDIENCE", "aud"));
    let strict = verifier(&[("JWT_JWKS", JWKS), us, app]).expect("a verifier");
    let signed = |claims: Value| token(r#"{"alg":"ES256"}"#, &claims.to_string(), Algorithm::ES256, EC_KEY);
    let of = |iss, aud| signed(json!({"sub": "ann", "exp": in_seconds(60), "iss": iss, "aud": aud}));
    assert!(strict.caller(Some(&of("us", "app"))).await.is_ok());
    for (iss, aud) in [("them", "app"), ("us", "another app")] {
        assert_eq!(strict.caller(Some(&of(iss, aud))).await, Err(TokenError::Invalid), "{iss} {aud}");
    }
}

#[tokio::test]
async fn a_token_of_another_type_is_refused() {
    let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
    let claims = json!({"sub": "ann", "exp": in_seconds(60)}).to_string();
    let check = async |typ: Value| {
        verifier.caller(Some(&hs256_of(&json!({"alg": "HS256", "typ": typ}).to_string(), &claims))).await.is_ok()
    };
    for known in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(check(json!(known)).await, "{known}");
    }
    for other in [json!("id+jwt"), json!("dpop+jwt"), json!("secevent+jwt"), json!(""), json!(7), json!(["JWT"])] {
        assert!(!check(other.clone()).await, "{other}");
    }
}

#[tokio::test]
async fn a_longest_lifetime_counts_from_the_issue_which_is_then_required() {
    let variables = [("JWT_SECRET", SECRET), ("JWT_MAX_LIFETIME", "3600")];
    let verifier = verifier(&variables).expect("a verifier");
    let check = async |claims: Value| verifier.caller(Some(&hs256(&claims))).await.is_ok();
    let lives = |from: i64, to: i64| json!({"sub": "ann", "iat": in_seconds(from), "exp": in_seconds(to)});
    assert!(check(lives(0, 3_600)).await);
    assert!(check(lives(-3_000, 600)).await);
    assert!(!check(lives(0, 3_700)).await);
    assert!(!check(lives(-3_000, 700)).await);
    assert!(!check(lives(86_000, 86_400)).await, "issued in the future");
    assert!(!check(json!({"sub": "ann", "exp": in_seconds(60)})).await);
    let unlimited = self::verifier(&[("JWT_SECRET", SECRET), ("JWT_MAX_LIFETIME", "0")]).expect("a verifier");
    assert!(unlimited.caller(Some(&hs256(&json!({"sub": "ann", "exp": in_seconds(600_000)})))).await.is_ok());
}

#[tokio::test]
async fn during_a_rotation_the_previous_secret_is_good_as_well() {
    const NEW: &str = "fedcba9876543210fedcba9876543210";
    let claims = json!({"sub": "ann", "exp": in_seconds(60)}).to_string();
    let with = |secret: &str| token(r#"{"alg":"HS256"}"#, &claims, Algorithm::HS256, secret.as_bytes());
    let rotating = verifier(&[("JWT_SECRET", NEW), ("JWT_SECRET_PREVIOUS", SECRET)]).expect("a verifier");
    assert!(rotating.caller(Some(&with(NEW))).await.is_ok());
    assert!(rotating.caller(Some(&with(SECRET))).await.is_ok());
    assert!(rotating.caller(Some(&with("another secret of 32 bytes or so"))).await.is_err());
    let rotated = verifier(&[("JWT_SECRET", NEW)]).expect("a verifier");
    assert_eq!(rotated.caller(Some(&with(SECRET))).await, Err(TokenError::Invalid));
}

#[test]
fn a_public_deployment_accepts_no_secret_that_can_be_guessed() {
    const RANDOM: &str = "9b1f0c6e52d84a7f8e3c1d60b7a2954d";
    let deployed = |variables: &[(&str, &str)]| {
        Verifier::deployed(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())).err()
    };
    assert_eq!(deployed(&[("JWT_SECRET", RANDOM)]), None);
    let weak = [("JWT_SECRET", SECRET)];
    assert!(matches!(deployed(&weak), Some(ConfigError::WeakSecret("JWT_SECRET", _))));
    let previous = [("JWT_SECRET", RANDOM), ("JWT_SECRET_PREVIOUS", SECRET)];
    assert!(matches!(deployed(&previous), Some(ConfigError::WeakSecret("JWT_SECRET_PREVIOUS", _))));
    assert_eq!(deployed(&[weak[0], ("JWT_SECRET_MAY_BE_KNOWN", "yes")]), None);
    assert!(deployed(&[weak[0], ("JWT_SECRET_MAY_BE_KNOWN", "no")]).is_some());
    assert_eq!(deployed(&[("JWT_SECRET", "short")]), Some(ConfigError::ShortSecret("JWT_SECRET")));
}

/// The tests' document with only one of its keys, after `change` has altered that key.
fn with_key(kid: &str, change: impl Fn(&mut Value)) -> String {
    let mut document: Value = serde_json::from_str(JWKS).expect("JSON");
    let keys = document["keys"].as_array_mut().expect("keys");
    keys.retain(|key| key["kid"] == kid);
    change(&mut keys[0]);
    document.to_string()
}

#[tokio::test]
async fn ed25519_is_another_name_of_eddsa_in_keys_and_in_tokens() {
    let claims = json!({"sub": "ann", "exp": in_seconds(60)}).to_string();
    for key in [json!("EdDSA"), json!("Ed25519"), json!(null)] {
        let verifier = public(&with_key("ed", |jwk| jwk["alg"] = key.clone())).expect("a verifier");
        for alg in ["EdDSA", "Ed25519"] {
            let header = json!({"alg": alg, "kid": "ed"}).to_string();
            let token = token(&header, &claims, Algorithm::EdDSA, ED_KEY);
            assert!(verifier.caller(Some(&token)).await.is_ok(), "{key} {alg}");
        }
    }
    for other in ["Ed448", "ES256", "HS256", "x", ""] {
        assert!(public(&with_key("ed", |jwk| jwk["alg"] = json!(other))).is_err(), "{other}");
    }
}

#[tokio::test]
async fn a_key_must_be_for_signatures_if_it_names_a_use_and_may_be_padded() {
    for (kid, algorithm, key) in
        [("rsa", Algorithm::RS256, RSA_KEY), ("ec", Algorithm::ES256, EC_KEY), ("ed", Algorithm::EdDSA, ED_KEY)]
    {
        let token = signed(algorithm, Some(kid), key);
        for change in [
            json!({"key_ops": ["verify"]}),
            json!({"key_ops": ["sign", "verify"], "use": "sig"}),
            json!({"x5c": 7, "x5t#S256": [], "ext": true}),
        ] {
            let document = with_key(kid, |jwk| {
                jwk.as_object_mut().expect("a key").extend(change.as_object().expect("members").clone());
                for part in ["n", "e", "x", "y"] {
                    if let Some(number) = jwk.get_mut(part) {
                        *number = json!(format!("{}==", number.as_str().expect("Base64")));
                    }
                }
            });
            assert!(public(&document).expect("a verifier").caller(Some(&token)).await.is_ok(), "{kid} {change}");
        }
        for change in [json!({"key_ops": ["sign"]}), json!({"key_ops": []}), json!({"use": "enc"})] {
            let document = with_key(kid, |jwk| {
                jwk.as_object_mut().expect("a key").extend(change.as_object().expect("members").clone());
            });
            assert!(public(&document).is_err(), "{kid} {change}");
        }
    }
}

#[test]
fn no_header_of_a_token_overflows_the_stack() {
    // The header nests JSON in a text in JSON, over and over. serde_json reads each level with a new limit of depth.
    let quote = |level: usize| match level {
        0 => "\"".to_owned(),
        level => format!("\\{}u0022", "u005c".repeat(level - 1)),
    };
    let open = |level| {
        let quote = quote(level);
        format!("{{{quote}$serde_json::private::RawValue{quote}:{quote}{}", "[".repeat(124))
    };
    let nested: String = (0..13).map(open).collect();
    let close: String = (0..13).rev().map(|level| format!("{}{}}}", "]".repeat(124), quote(level))).collect();
    let header = format!(r#"{{"alg":"HS256","x":{nested}1{close}}}"#);
    let claims = json!({"sub": "ann", "exp": in_seconds(60)}).to_string();
    let authorization = hs256_of(&header, &claims);
    assert!(authorization.len() < 8 * 1024, "it would not be read: {}", authorization.len());
    let check = move || {
        let verifier = verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(verifier.caller(Some(&authorization)))
    };
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(check).expect("a thread");
    assert_eq!(thread.join().expect("no overflow"), Err(TokenError::Invalid));
}

/// Texts that look like a part of a token or a member of a key. Most of them are not valid.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::sample::select(vec!["HS256", "RS256", "Ed25519", "none", "ann", "rsa", "AQAB", "sig", "RSA", "OKP"])
            .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
    ]
}

fn members(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let value = prop_oneof![
        3 => piece().prop_map(|text| json!(text).to_string()),
        1 => prop::sample::select(vec!["null", "1e99", "-1", "[]", "{}", "[\"verify\"]"]).prop_map(str::to_owned),
        1 => piece(),
    ];
    let member = (prop::sample::select(names), value).prop_map(|(name, value)| format!("{name:?}:{value}"));
    prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn caller(verifier: &Verifier, authorization: &str) -> Result<UserId, TokenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(verifier.caller(Some(authorization)))
}

proptest! {
    #[test]
    fn nobody_gets_in_without_the_key_whatever_the_token_is(
        header in members(&["alg", "typ", "kid", "crit", "jwk", "x"]),
        claims in members(&["sub", "exp", "nbf", "aud", "iss", "iat"]),
        signature in any::<[u8; 32]>(),
    ) {
        let parts = [header.as_bytes(), claims.as_bytes(), &signature].map(|part| URL_SAFE_NO_PAD.encode(part));
        for keys in [verifier(&[("JWT_SECRET", SECRET)]), public(JWKS)] {
            let verdict = caller(&keys.expect("a verifier"), &format!("Bearer {}", parts.join(".")));
            prop_assert!(verdict.is_err(), "{} {}", header, claims);
        }
    }

    #[test]
    fn claims_that_are_signed_are_judged_and_never_trip(
        claims in members(&["sub", "exp", "nbf", "aud", "iss", "iat"]),
    ) {
        let variables = [("JWT_SECRET", SECRET), ("JWT_ISSUER", "ann"), ("JWT_MAX_LIFETIME", "60")];
        let verdict = caller(&verifier(&variables).expect("a verifier"), &hs256_of(r#"{"alg":"HS256"}"#, &claims));
        prop_assert!(matches!(verdict, Err(TokenError::Invalid | TokenError::Expired)), "{} {:?}", claims, verdict);
    }

    #[test]
    fn a_token_with_one_character_changed_is_refused(at in any::<prop::sample::Index>(), byte in 0x21..0x7f_u8) {
        let good = hs256(&json!({"sub": "ann", "exp": in_seconds(600)}));
        let mut text = good.clone().into_bytes();
        let token = "Bearer ".len();
        let at = token + at.index(text.len() - token);
        text[at] = byte;
        let text = String::from_utf8(text).expect("ASCII");
        let verdict = caller(&verifier(&[("JWT_SECRET", SECRET)]).expect("a verifier"), &text);
        prop_assert_eq!(verdict.is_ok(), text == good, "{}", text);
    }

    #[test]
    fn a_set_of_keys_is_read_or_refused(
        keys in prop::collection::vec(
            members(&["kty", "crv", "n", "e", "x", "y", "use", "key_ops", "alg", "kid", "x5c"]), 0..4,
        ),
        tail in piece(),
    ) {
        for document in [format!(r#"{{"keys":[{}]}}"#, keys.join(",")), format!("{{\"keys\":{tail}}}"), tail] {
            let _ = public(&document);
        }
    }
}

/// The tests' document with only its RSA key, after `change` has altered that key.
fn with_rsa_key(change: impl Fn(Vec<u8>) -> Vec<u8>) -> String {
    let mut document: Value = serde_json::from_str(JWKS).expect("JSON");
    let keys = document["keys"].as_array_mut().expect("keys");
    keys.retain(|key| key["kty"] == "RSA");
    for part in ["n", "e"] {
        let number = URL_SAFE_NO_PAD.decode(keys[0][part].as_str().expect("a number")).expect("Base64");
        keys[0][part] = json!(URL_SAFE_NO_PAD.encode(change(number)));
    }
    document.to_string()
}

#[tokio::test]
async fn an_rsa_key_may_have_zeros_in_front_and_has_2048_bits_or_more() {
    let padded = with_rsa_key(|number| [vec![0], number].concat());
    let token = signed(Algorithm::RS256, Some("rsa"), RSA_KEY);
    let verifier = public(&padded).expect("a verifier");
    assert_eq!(verifier.caller(Some(&token)).await.map(String::from), Ok("ann".to_owned()));
    let short = |number: Vec<u8>| number[..number.len().min(255)].to_vec();
    let one_bit_less = |number: Vec<u8>| [vec![number[0] & 0x7f], number[1..].to_vec()].concat();
    for document in [with_rsa_key(short), with_rsa_key(one_bit_less)] {
        let refused = public(&document).err();
        assert!(matches!(refused, Some(ConfigError::BadJwks(reason)) if reason.contains("2,048 bits")));
    }
}

#[tokio::test]
async fn the_algorithm_never_comes_from_the_token() {
    let verifier = public(JWKS).expect("a verifier");
    // These tokens use the public document, or a part of it, as the secret of an HMAC.
    let jwks: Value = serde_json::from_str(JWKS).expect("JSON");
    for secret in [JWKS, jwks["keys"][0]["n"].as_str().expect("n")] {
        for kid in [Some("rsa"), None] {
            let forged = signed(Algorithm::HS256, kid, secret.as_bytes());
            assert_eq!(verifier.caller(Some(&forged)).await, Err(TokenError::Invalid));
        }
    }
    // This token is {"alg":"none"}.{"sub":"ann","exp":9999999999}
    let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjk5OTk5OTk5OTl9.";
    assert_eq!(verifier.caller(Some(unsigned)).await, Err(TokenError::Invalid));
    assert_eq!(
        super::tests::verifier(&[("JWT_SECRET", SECRET)]).expect("ok").caller(Some(unsigned)).await,
        Err(TokenError::Invalid)
    );
    let rs512 = signed(Algorithm::RS512, Some("rsa"), RSA_KEY);
    assert_eq!(verifier.caller(Some(&rs512)).await, Err(TokenError::Invalid));
}
