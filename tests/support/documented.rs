//! Compares every answer of every test with the OpenAPI document.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, Method};
use serde_json::Value;

/// The document as it is checked in.
pub static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../infra/api/openapi.json")).expect("the document is JSON"));

/// The documented address of a path, with or without the slash at its end.
pub fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    paths.keys().map(String::as_str).find(|template| {
        let names: Vec<&str> = template.strip_suffix('/').unwrap_or(template).split('/').collect();
        let fits = |(name, part): (&&str, &&str)| name == part || (name.starts_with('{') && !part.is_empty());
        names.len() == parts.len() && names.iter().zip(&parts).all(fits)
    })
}

/// Fails unless the document has such an answer to such a request. With `open`, objects may have further members, and values may
/// be others of the same type.
#[track_caller]
pub fn check(method: &Method, path: &str, status: u16, headers: &HeaderMap, body: &str, open: bool) {
    // The gateway answers preflights and adds the headers for pages of other origins.
    if method == Method::OPTIONS {
        return;
    }
    let Some(template) = template(path) else {
        // This also covers paths that only look like one of the addresses, for example with an encoded slash.
        assert_eq!(status, 404, "{method} {path} is answered {status} and is not in the document");
        return;
    };
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let operation = &DOCUMENT["paths"][template][method.as_str().to_lowercase()];
    if operation.is_null() {
        assert_eq!(status, 405, "{method} {template} is answered {status} and is not in the document");
        return;
    }
    let what = format!("{method} {template}: {status}");
    let response = resolve(&operation["responses"][status.to_string()]);
    assert!(response.is_object(), "{what} is not in the document: {body:.300}");
    let others = |name: &&HeaderName| {
        !matches!(name.as_str(), "content-type" | "content-length" | "vary")
            && !name.as_str().starts_with("access-control-")
    };
    for name in headers.keys().filter(others) {
        let documented = response["headers"]
            .as_object()
            .is_some_and(|headers| headers.keys().any(|other| other.eq_ignore_ascii_case(name.as_str())));
        assert!(documented, "{what} has the header {name}, which is not in the document");
    }
    let Some(media_type) = headers.get("content-type") else {
        assert!(body.is_empty() && response["content"].is_null(), "{what} lacks the documented body");
        return;
    };
    let schema = &response["content"][media_type.to_str().expect("a media type")]["schema"];
    assert!(schema.is_object(), "{what}: {media_type:?} is not in the document");
    if body.is_empty() {
        return;
    }
    let body: Value = serde_json::from_str(body).expect("a body of JSON");
    let mut wrong = Vec::new();
    compare(schema, &body, "body", &mut wrong);
    wrong.retain(|wrong| !open || ![" has ", " enum ", " maximum "].iter().any(|rule| wrong.contains(rule)));
    assert!(wrong.is_empty(), "{what} is not as documented: {}\n{body:.2000}", wrong.join("; "));
}

/// The target of a reference.
pub fn resolve(schema: &Value) -> &Value {
    match schema["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).expect("a reference to what is there"),
        None => schema,
    }
}

/// Notes the places where a value breaks a schema. Patterns and formats are not checked.
fn compare(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = resolve(schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        compare(part, value, at, wrong);
    }
    let mut refuse = |rule: &str| wrong.push(format!("{at} {rule} {}: {value:.100}", schema[rule]));
    let types = schema["type"]
        .as_str()
        .into_iter()
        .chain(schema["type"].as_array().into_iter().flatten().filter_map(Value::as_str));
    let types: Vec<&str> = types.collect();
    let fits = |name: &&str| match *name {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    if !types.is_empty() && !types.iter().any(fits) {
        refuse("type");
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        refuse("enum");
    }
    let number = value.as_f64();
    let length = value.as_str().map(|text| text.chars().count()).or(value.as_array().map(Vec::len));
    let length = length.map(|length| length as f64);
    let mut bound = |rule: &str, size: Option<f64>, keeps: fn(&f64, &f64) -> bool| {
        if let (Some(size), Some(bound)) = (size, schema[rule].as_f64())
            && !keeps(&size, &bound)
        {
            refuse(rule);
        }
    };
    bound("minimum", number, f64::ge);
    bound("maximum", number, f64::le);
    bound("exclusiveMinimum", number, f64::gt);
    bound("minLength", length, f64::ge);
    bound("maxLength", length, f64::le);
    bound("minItems", length, f64::ge);
    bound("maxItems", length, f64::le);
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        compare(&schema["items"], item, &format!("{at}[{index}]"), wrong);
    }
    let Some(members) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            wrong.push(format!("{at} lacks {name}"));
        }
    }
    for (name, member) in members {
        match schema["properties"].get(name) {
            Some(schema) => compare(schema, member, &format!("{at}.{name}"), wrong),
            None if schema["additionalProperties"] == false => wrong.push(format!("{at} has {name}")),
            None => {}
        }
    }
}
