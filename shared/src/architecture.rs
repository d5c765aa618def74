//! The design: the page `infra/docs/architecture.md`, as it is.
#![cfg_attr(doc, doc = "")]
#![cfg_attr(doc, doc = include_str!("../../infra/docs/architecture.md"))]
