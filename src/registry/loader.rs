//! How a text becomes the route table in force: asked for, read, built,
//! compared with the old table, put in force.
//!
//! All of it goes on in slices, while others are served. The loader knows
//! what is to be done next and no file; its owner does it. A change that is
//! told while another is under way is not lost: that one is finished, and then
//! everything is read again.

use super::delta::Delta;
use super::file::Loading;
use super::{Delivery, Source};
use crate::route::Table;
use crate::route::builder::LINES_PER_STEP;

/// Routes or targets that are compared in one slice: well below a millisecond,
/// as [`LINES_PER_STEP`] lines are.
const COMPARED: usize = 100;

/// How often a text is read from the beginning again because it changed
/// meanwhile. Whoever goes on to change it is told of by a further event.
const MOST_SPOILED: u32 = 3;

/// Commands of a difference that are kept for the log.
const MOST_LINES: usize = 100;

/// What reading the text came to, as far as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// There is more to read.
    More,
    /// All of it.
    Whole(Vec<u8>),
    /// It changed meanwhile, so what was read is of no use.
    Spoiled,
    /// It cannot be read, and why.
    Failed(String),
}

/// A table that is ready to be put in force.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The table and what was wrong with its text.
    pub delivery: Delivery,
    /// What differs from the table in force.
    pub delta: Delta,
}

/// Loads the routes of one [`Source`], again and again.
#[derive(Debug)]
pub struct Loader {
    origin: String,
    stage: Stage,
    /// The source may have changed since its text was read.
    asked: bool,
    /// Why it cannot be read, once that was told.
    trouble: Option<String>,
}

#[derive(Debug)]
enum Stage {
    Resting,
    /// Reading for this many times.
    Reading(u32),
    Building(Box<Loading>),
    Comparing(Box<Ready>),
    /// Handed over and not in force yet.
    Handed,
}

impl Loader {
    /// The loader of a source that is not loaded and not asked for yet.
    pub fn new(source: &Source) -> Loader {
        Loader {
            origin: source.origin().to_owned(),
            stage: Stage::Resting,
            asked: false,
            trouble: None,
        }
    }

    /// The source has, or may have, another text.
    pub fn ask(&mut self) {
        self.asked = true;
        self.begin();
    }

    /// The same on a person's demand, who is told of a failure though it was
    /// told before.
    pub fn demand(&mut self) {
        self.trouble = None;
        self.ask();
    }

    /// Whether anything is to be done before the routes are those that were
    /// last asked for.
    pub fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Resting)
    }

    /// Whether the text is to be read, or read on; the answer is given to
    /// [`Loader::read`].
    pub fn wants_text(&self) -> bool {
        matches!(self.stage, Stage::Reading(_))
    }

    /// Why the text could not be read the last time.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Takes what reading came to. Returns why it failed, unless that was told
    /// before.
    pub fn read(&mut self, reading: Reading) -> Option<&str> {
        let Stage::Reading(times) = self.stage else { return None };
        match reading {
            Reading::More => None,
            Reading::Whole(text) => {
                self.trouble = None;
                self.stage = Stage::Building(Box::new(Loading::new(&self.origin, text)));
                None
            }
            Reading::Spoiled if times < MOST_SPOILED => {
                self.stage = Stage::Reading(times.saturating_add(1));
                None
            }
            Reading::Spoiled => self.fail("it changes while it is read".to_owned()),
            Reading::Failed(why) => self.fail(why),
        }
    }

    /// Builds and compares, for a slice. Returns the table once it is ready;
    /// when that is in force, or given up, [`Loader::settled`] is to be
    /// called.
    pub fn advance(&mut self, current: &Table) -> Option<Ready> {
        self.step(current, LINES_PER_STEP, COMPARED)
    }

    /// The same at once: for the start, before anything is served.
    pub fn finish(&mut self, current: &Table) -> Option<Ready> {
        while matches!(self.stage, Stage::Building(_) | Stage::Comparing(_)) {
            let ready = self.step(current, usize::MAX, usize::MAX);
            if ready.is_some() {
                return ready;
            }
        }
        None
    }

    fn step(&mut self, current: &Table, lines: usize, compared: usize) -> Option<Ready> {
        match std::mem::replace(&mut self.stage, Stage::Handed) {
            Stage::Building(mut loading) => match loading.step(lines) {
                Some(delivery) => {
                    // Of the first table everything is new.
                    let lines = if current.routes().is_empty() { 0 } else { MOST_LINES };
                    let delta = Delta::new(lines);
                    self.compare(current, compared, Ready { delivery, delta })
                }
                None => {
                    self.stage = Stage::Building(loading);
                    None
                }
            },
            Stage::Comparing(ready) => self.compare(current, compared, *ready),
            other => {
                self.stage = other;
                None
            }
        }
    }

    fn compare(&mut self, current: &Table, steps: usize, mut ready: Ready) -> Option<Ready> {
        if ready.delta.step(current, &ready.delivery.table, steps) {
            return Some(ready);
        }
        self.stage = Stage::Comparing(Box::new(ready));
        None
    }

    /// The table that was handed over last is in force.
    pub fn settled(&mut self) {
        if matches!(self.stage, Stage::Handed) {
            self.rest();
        }
    }

    fn fail(&mut self, why: String) -> Option<&str> {
        self.rest();
        if self.trouble.as_ref() == Some(&why) {
            return None;
        }
        self.trouble = Some(why);
        self.trouble()
    }

    fn rest(&mut self) {
        self.stage = Stage::Resting;
        self.begin();
    }

    fn begin(&mut self) {
        if self.asked && !self.is_busy() {
            self.asked = false;
            self.stage = Stage::Reading(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"route add a :1 tcp://192.0.2.1:1\n";

    fn loader() -> Loader {
        Loader::new(&Source::Static { routes: String::new() })
    }

    fn many(first: u16, count: u16) -> Vec<u8> {
        let line = |port| format!("route add a :{port} tcp://192.0.2.1:{port}\n");
        (first..first + count).map(line).collect::<String>().into_bytes()
    }

    /// Goes on until the table is ready; says in how many slices.
    fn ready(loader: &mut Loader, current: &Table) -> (Ready, usize) {
        let mut slices = 0;
        loop {
            slices += 1;
            assert!(loader.is_busy() && !loader.wants_text());
            if let Some(ready) = loader.advance(current) {
                return (ready, slices);
            }
        }
    }

    #[test]
    fn a_text_is_read_built_compared_and_handed_over_and_then_nothing_is_to_be_done() {
        let mut loader = loader();
        assert!(!loader.is_busy() && !loader.wants_text());
        loader.ask();
        for _ in 0..3 {
            assert!(loader.wants_text());
            assert!(loader.advance(&Table::default()).is_none(), "there is no text yet");
            assert_eq!(loader.read(Reading::More), None);
        }
        assert_eq!(loader.read(Reading::Whole(ONE.to_vec())), None);
        let (Ready { delivery, delta }, _) = ready(&mut loader, &Table::default());
        assert_eq!(delivery.table.routes().len(), 1);
        assert_eq!(delivery.origin, "registry.static.routes");
        assert_eq!((delta.added, delta.lines.len()), (1, 0), "all is new, so no lines");
        assert!(loader.is_busy(), "until it is in force");
        loader.settled();
        assert!(!loader.is_busy());
        loader.settled();
        assert!(!loader.is_busy());
    }

    #[test]
    fn a_large_text_takes_many_slices_and_the_difference_is_told() {
        let mut loader = loader();
        loader.ask();
        loader.read(Reading::Whole(many(1, 5000)));
        let (first, slices) = ready(&mut loader, &Table::default());
        assert!(slices > 20, "{slices}");
        loader.settled();
        loader.ask();
        loader.read(Reading::Whole(many(3, 5000)));
        let (second, slices) = ready(&mut loader, &first.delivery.table);
        assert!(slices > 40, "{slices}");
        assert_eq!((second.delta.added, second.delta.removed, second.delta.changed), (2, 2, 0));
        assert_eq!(second.delta.lines.len(), 4);
    }

    #[test]
    fn a_change_during_any_stage_is_loaded_after_the_one_under_way() {
        for stage in 0..4 {
            let mut loader = loader();
            let ask_at = |now: usize, loader: &mut Loader| {
                if now == stage {
                    loader.ask();
                    loader.ask();
                }
            };
            loader.ask();
            ask_at(0, &mut loader);
            loader.read(Reading::More);
            ask_at(1, &mut loader);
            loader.read(Reading::Whole(many(1, 600)));
            loader.advance(&Table::default());
            ask_at(2, &mut loader);
            let (first, _) = ready(&mut loader, &Table::default());
            ask_at(3, &mut loader);
            loader.settled();
            assert!(loader.wants_text(), "asked for in stage {stage}");
            loader.read(Reading::Whole(many(1, 2)));
            let (second, _) = ready(&mut loader, &first.delivery.table);
            assert_eq!(second.delivery.table.routes().len(), 2);
            loader.settled();
            assert!(!loader.is_busy(), "once, however often it was asked for");
        }
    }

    #[test]
    fn a_failure_is_told_once_until_it_is_another_or_over() {
        let mut loader = loader();
        let mut fail = |why: &str| {
            loader.ask();
            let told = loader.read(Reading::Failed(why.to_owned())).map(str::to_owned);
            assert!(!loader.is_busy());
            assert_eq!(loader.trouble(), Some(why));
            told
        };
        assert_eq!(fail("gone"), Some("gone".to_owned()));
        assert_eq!(fail("gone"), None);
        assert_eq!(fail("too long"), Some("too long".to_owned()));
        assert_eq!(fail("gone"), Some("gone".to_owned()));
        loader.ask();
        loader.read(Reading::Whole(ONE.to_vec()));
        assert_eq!(loader.trouble(), None);
        assert!(loader.finish(&Table::default()).is_some());
        loader.settled();
        loader.ask();
        assert_eq!(loader.read(Reading::Failed("gone".to_owned())), Some("gone"));
        loader.demand();
        assert_eq!(loader.read(Reading::Failed("gone".to_owned())), Some("gone"));
    }

    #[test]
    fn a_change_that_was_asked_for_meanwhile_outlives_a_failure() {
        let mut loader = loader();
        loader.ask();
        loader.ask();
        assert_eq!(loader.read(Reading::Failed("gone".to_owned())), Some("gone"));
        assert!(loader.wants_text());
    }

    #[test]
    fn a_text_that_changes_meanwhile_is_read_again_but_not_for_ever() {
        let mut loader = loader();
        loader.ask();
        for _ in 0..MOST_SPOILED {
            loader.read(Reading::More);
            assert_eq!(loader.read(Reading::Spoiled), None);
            assert!(loader.wants_text());
        }
        assert_eq!(loader.read(Reading::Spoiled), Some("it changes while it is read"));
        assert!(!loader.is_busy());
    }

    #[test]
    fn at_once_is_the_same_in_one_piece() {
        let mut loader = loader();
        loader.ask();
        assert!(loader.finish(&Table::default()).is_none());
        loader.read(Reading::Whole(many(1, 5000)));
        let all = loader.finish(&Table::default()).expect("at once");
        assert_eq!(all.delivery.table.routes().len(), 5000);
        assert_eq!(all.delta.added, 5000);
    }
}
