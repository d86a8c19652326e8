//! HTTP checks where burgee was built without the feature `http`: there are
//! none.

/// An HTTP check, which there is not.
#[derive(Debug)]
pub(super) enum Exchange {}

impl Exchange {
    pub(super) fn new(_: &str, _: &str, _: (u16, u16)) -> Result<Exchange, String> {
        Err("cannot be asked: burgee was built without the feature `http`".to_owned())
    }

    pub(super) fn to_send(&self) -> &[u8] {
        match *self {}
    }

    pub(super) fn sent(&mut self, _: usize) {
        match *self {}
    }

    pub(super) fn received(&mut self, _: &[u8]) -> Option<Result<(), String>> {
        match *self {}
    }

    pub(super) fn ended(&mut self) -> Result<(), String> {
        match *self {}
    }
}
