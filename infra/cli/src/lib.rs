//! What the command `trueppm` is made of, beside the operators' commands in `ops`: the demo, plans as CSV files, and a client
//! of the product.

pub mod client;
pub mod csv;
pub mod demo;
pub mod reference;
