//! Faults on request, to prove that one stays where it happened.

/// Panics in the name of `place`. Only an operator's explicit wish leads here.
#[allow(clippy::panic)]
pub fn inject(place: &str) {
    panic!("injected panic in {place}");
}
