//! How the property tests run.

use std::hash::{BuildHasher, Hasher, RandomState};

use proptest::test_runner::{Config, RngSeed};

/// A fixed number of cases, and no file that would remember failures. Other
/// cases are tried each time; the seed is printed, and shown where a test fails.
pub fn cases(number: u32) -> Config {
    let config = Config { cases: number, failure_persistence: None, ..Config::default() };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().build_hasher().finish(),
    };
    println!("PROPTEST_RNG_SEED={seed} runs the same cases again");
    Config { rng_seed: RngSeed::Fixed(seed), ..config }
}
