//! In the place of the API's door, in a build without the feature `http`.

use super::Daemon;
use crate::config::Config;
use crate::reactor::{Reactor, Readiness, Token};

/// Nothing to prepare.
#[derive(Debug)]
pub(super) struct Prepared;

/// No door.
#[derive(Debug)]
pub(super) struct Api;

impl Api {
    pub(super) fn open(_: &mut Reactor, _: &Config) -> Result<Api, String> {
        Ok(Api)
    }

    pub(super) fn prepare_change(&self, _: &Config) -> Result<Option<Prepared>, String> {
        Ok(None)
    }

    pub(super) fn commit_change(&mut self, _: &mut Reactor, _: Option<Prepared>) -> Vec<String> {
        Vec::new()
    }

    pub(super) fn collect(&mut self, _: Token, _: Readiness) {}

    pub(super) fn expired(&mut self, _: Token) {}

    pub(super) fn flush(&mut self) {}

    pub(super) fn has_ready(&self) -> bool {
        false
    }

    pub(super) fn panics(&self) -> u64 {
        0
    }

    pub(super) fn inject_panic(&mut self) {}
}

impl Daemon {
    pub(super) fn serve_api(&mut self, _: &mut Reactor) {}
}
