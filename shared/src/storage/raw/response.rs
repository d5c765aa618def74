//! JSON that is written in pieces.

use serde::ser::{SerializeStruct, Serializer};

/// The name by which `serde_json` knows a [`RawValue`](serde_json::value::RawValue). It is private to `serde_json`. If
/// it changes, the tests of code that uses [`serialize_pieces`] fail.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Serializes JSON that `write` hands over piece by piece. Unlike a `RawValue`, it is not kept as one text and not
/// parsed again. So the pieces together must be valid JSON.
pub fn serialize_pieces<S: Serializer>(
    serializer: S,
    write: impl FnOnce(&mut dyn FnMut(&str) -> Result<(), S::Error>) -> Result<(), S::Error>,
) -> Result<S::Ok, S::Error> {
    let mut raw = serializer.serialize_struct(RAW_VALUE, 1)?;
    write(&mut |piece| raw.serialize_field(RAW_VALUE, piece))?;
    raw.end()
}
