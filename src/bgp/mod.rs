//! Everything about BGP-4 (RFC 4271).

pub mod message;
