//! What the functions tell of the cost of a request in `Server-Timing`.

use axum::http::HeaderMap;

use crate::program::Outcome;

/// What a request took of the table.
pub(crate) struct Taken {
    pub(crate) calls: f64,
    pub(crate) reads: f64,
    pub(crate) writes: f64,
}

/// Reads the calls, read units and write units out of an answer's headers.
pub(crate) fn taken(headers: &HeaderMap) -> Outcome<Taken> {
    let timing = headers.get("server-timing").and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Only numbers are followed by a space: those of calls, read units and write units, in this order.
    let numbers: Vec<f64> = timing
        .split("desc=\"")
        .filter_map(|part| part.split(' ').next().and_then(|number| number.parse().ok()))
        .collect();
    let [calls, reads, writes] = numbers[..] else {
        return Err(format!("an answer without its cost: {timing}").into());
    };
    Ok(Taken { calls, reads, writes })
}
