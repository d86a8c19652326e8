//! BGP messages: bytes to values and back.
