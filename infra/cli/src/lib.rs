//! The parts of the command `trueppm`, apart from the operators' commands in `ops`: the demo, project plans as files, and an
//! HTTP client of the product.

pub mod client;
pub mod demo;
pub mod plan;
pub mod reference;
