//! HTTP/1.1 as pure machines: bytes in, messages out, for both sides of a
//! connection (RFC 9112).
