//! What a fuzzer's octets mean for each target, and what must hold afterwards.
//!
//! A check that fails panics, as does a fault of burgee itself. Both the
//! programs in `fuzz_targets/` and `tests/corpus.rs` run this code, so that a
//! plain `cargo test` replays the committed corpus with the very same checks.

// The checks may fail, and what they look at has been framed before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decoders;
#[cfg(feature = "http")]
mod http;
mod input;
#[cfg(feature = "names")]
mod names;
#[path = "../../tests/common/network.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod network;
mod pair;
#[cfg(feature = "http")]
#[path = "../../tests/common/http.rs"]
#[allow(unreachable_pub, missing_docs)]
mod peers;
mod proxy;
mod script;
mod session;
mod stream;
mod texts;

/// What a target does with one input.
type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 18] = [
    ("header", decoders::header),
    ("open", decoders::open),
    ("update", decoders::update),
    ("notification", decoders::notification),
    ("route_refresh", decoders::route_refresh),
    ("bfd", decoders::bfd),
    ("configuration", texts::configuration),
    ("routes", texts::routes),
    ("session", script::session),
    ("pair", pair::pair),
    ("proxy_header", proxy::proxy_header),
    ("client_hello", proxy::client_hello),
    ("access_log", proxy::access_log),
    ("limits", proxy::limits),
    ("dns", DNS),
    ("http_request", HTTP[0]),
    ("http_response", HTTP[1]),
    ("http_chunked", HTTP[2]),
];

#[cfg(feature = "http")]
const HTTP: [Target; 3] = [http::request, http::response, http::chunked];
/// Without the feature there is no HTTP.
#[cfg(not(feature = "http"))]
const HTTP: [Target; 3] = [|_| (), |_| (), |_| ()];

#[cfg(feature = "names")]
const DNS: Target = names::dns;
/// Without the feature there is nothing to look up.
#[cfg(not(feature = "names"))]
const DNS: Target = |_| ();

/// Runs one target on one input.
pub fn run(target: &str, data: &[u8]) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    run(data);
}
