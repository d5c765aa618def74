//! The contract with devices: the page `infra/docs/protocol.md`, as it is.
#![cfg_attr(doc, doc = "")]
#![cfg_attr(doc, doc = include_str!("../../infra/docs/protocol.md"))]
