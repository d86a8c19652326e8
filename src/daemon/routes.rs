//! How the routes get into the switchboard: at once at the start, and turn by
//! turn whenever their source has changed since.
//!
//! What is to be done next is for [`Loader`] to say. This is its door: it
//! watches and reads the file, hands the table to the switchboard and its
//! targets to the prober, and writes to the log what came of it.

use std::vec::IntoIter;

use log::{info, warn};

use super::routes_file::{RoutesFile, cannot_read, read_routes_file};
use super::switchboard::Switchboard;
use super::{Daemon, TIMER};
use crate::announce::drain::Step;
use crate::config::{Backend, RegistryConfig};
use crate::health::probe::Prober;
use crate::reactor::inotify::{FileWatch, Look};
use crate::reactor::log_sink::quoted;
use crate::reactor::{Kind, Reactor, Time, Token};
use crate::registry::loader::{Loader, Reading, Ready};
use crate::registry::{Delivery, Source};
use crate::route::{LineError, Table};

/// Routes and targets that are put in force in one turn, a fraction of a
/// millisecond.
const STEPS: usize = 60;

/// Octets of a text that is read and built in the same turn.
const SHORT: usize = 16 * 1024;

/// Lines that are written to the log in one turn.
const LINES: usize = 50;

/// The file of the routes and its timer: those of the properties file have
/// index 0.
const WATCH_INDEX: u32 = 1;

/// The routes' source and how far its text has come.
#[derive(Debug)]
pub(super) struct Routes {
    source: Source,
    loader: Loader,
    file: Option<RoutesFile>,
    watch: Option<FileWatch>,
    /// How many watches there were: an event of an earlier one means nothing.
    watches: u32,
    /// Since when the source cannot be read.
    failing: Option<Time>,
    /// The table that is being put in force.
    coming: Option<Summary>,
    report: Report,
}

/// Another source, which can be read.
#[derive(Debug)]
pub(super) struct Prepared {
    file: Option<RoutesFile>,
    watch: Option<FileWatch>,
}

/// What is to be said once a table is in force.
#[derive(Debug)]
struct Summary {
    text: String,
    changes: Vec<String>,
    not_shown: usize,
}

/// The source that is configured.
pub(super) fn source(config: &RegistryConfig) -> Source {
    match &config.backend {
        Backend::Static { routes } => Source::Static { routes: routes.clone() },
        Backend::File { path, poll_interval } => {
            Source::File { path: path.clone(), poll_interval: *poll_interval }
        }
    }
}

impl Routes {
    /// Reads the source for the first time; [`Routes::load`] does the rest.
    ///
    /// # Errors
    /// Why it cannot be read, as a sentence.
    pub(super) fn open(reactor: &mut Reactor, source: Source) -> Result<Routes, String> {
        let mut routes = Routes {
            loader: Loader::new(&source),
            file: None,
            watch: None,
            watches: 0,
            failing: None,
            coming: None,
            report: Report::default(),
            source,
        };
        // Watched before it is read, so that no change falls in between.
        routes.watch = routes.watch(reactor, &routes.source);
        let text = match &routes.source {
            Source::Static { routes } => routes.clone().into_bytes(),
            Source::File { path, .. } => read_routes_file(path)?,
        };
        routes.loader.ask();
        routes.loader.read(Reading::Whole(text));
        Ok(routes)
    }

    /// Puts what was opened in force, at once.
    pub(super) fn load(
        &mut self,
        reactor: &mut Reactor,
        switchboard: &mut Switchboard,
        prober: &mut Prober,
    ) {
        let Some(ready) = self.loader.finish(switchboard.table()) else { return };
        let (table, summary) = self.announce(ready);
        self.report.log(usize::MAX);
        let progress = switchboard.load(reactor.now(), table);
        switchboard.hand_over(reactor, prober, progress);
        self.report.conclude(summary);
        self.loader.settled();
    }

    /// Collect: an event of the poll.
    pub(super) fn collect(&mut self, token: Token) {
        self.watch.iter_mut().for_each(|watch| watch.collect(token));
    }

    /// Expire: a timer fired.
    pub(super) fn expired(&mut self, token: Token) {
        self.watch.iter_mut().for_each(|watch| watch.expired(token));
    }

    /// Control: asks for what changed.
    pub(super) fn control(&mut self, reactor: &mut Reactor) {
        let Some(watch) = &mut self.watch else { return };
        match watch.poll(reactor) {
            Some(Look::Changed) => {
                info!("route event=file_changed source={}", self.source.origin());
                self.loader.ask();
            }
            Some(Look::Gone) => self.loader.ask(),
            // It may be readable now for a reason that does not show.
            Some(Look::Same) if self.loader.trouble().is_some() => self.loader.ask(),
            Some(Look::Same) | None => {}
        }
    }

    /// Whether another table is on its way.
    pub(super) fn is_busy(&self) -> bool {
        self.loader.is_busy()
    }

    /// Whether there is work that needs no further event.
    pub(super) fn has_ready(&self, switchboard: &Switchboard) -> bool {
        (self.loader.is_busy() && !switchboard.awaits_names())
            || !self.report.is_empty()
            || self.watch.as_ref().is_some_and(FileWatch::has_ready)
    }

    /// Apply: goes on, for a slice of each stage that is reached. Says whether
    /// another table is in force.
    pub(super) fn advance(
        &mut self,
        reactor: &mut Reactor,
        switchboard: &mut Switchboard,
        prober: &mut Prober,
    ) -> bool {
        self.report.log(LINES);
        if !switchboard.is_changing() {
            self.loader.settled();
            let is_enough = self.read();
            self.note_trouble(reactor.now());
            if is_enough {
                return false;
            }
            if let Some(ready) = self.loader.advance(switchboard.table()) {
                let (table, summary) = self.announce(ready);
                self.report.log(LINES);
                self.coming = Some(summary);
                switchboard.begin(reactor.now(), table);
            }
        }
        if switchboard.is_changing() {
            let progress = switchboard.proceed(reactor.now(), STEPS);
            switchboard.hand_over(reactor, prober, progress);
        }
        if switchboard.is_preparing() {
            return false;
        }
        let Some(summary) = self.coming.take() else { return false };
        self.report.conclude(summary);
        true
    }

    /// Since when the source cannot be read, and why.
    pub(super) fn trouble(&self) -> Option<(Time, &str)> {
        Some((self.failing?, self.loader.trouble()?))
    }

    fn note_trouble(&mut self, now: Time) {
        let is_failing = self.loader.trouble().is_some();
        self.failing = is_failing.then(|| self.failing.unwrap_or(now));
    }

    /// Reads a piece, where the text is wanted. Says whether that was enough
    /// for one turn.
    fn read(&mut self) -> bool {
        if !self.loader.wants_text() {
            return false;
        }
        let reading = match &self.source {
            Source::Static { routes } => Reading::Whole(routes.clone().into_bytes()),
            Source::File { path, .. } => {
                match self.file.take().map_or_else(|| RoutesFile::open(path), Ok) {
                    Ok(mut file) => {
                        let reading = file.read();
                        if reading == Reading::More {
                            self.file = Some(file);
                        }
                        reading
                    }
                    Err(problem) => Reading::Failed(problem.to_string()),
                }
            }
        };
        let was_long = match &reading {
            Reading::More => true,
            Reading::Whole(text) => text.len() > SHORT,
            Reading::Spoiled | Reading::Failed(_) => false,
        };
        if let Some(why) = self.loader.read(reading) {
            warn!(
                "route event=not_read source={} error={} effect=\"the old routes stay in force\"",
                self.source.origin(),
                quoted(why)
            );
        }
        was_long
    }

    /// Queues what is to be said of the lines; returns the table, and what is
    /// to be said once it is in force.
    fn announce(&mut self, ready: Ready) -> (Table, Summary) {
        let Ready { delivery, delta } = ready;
        let Delivery { origin, table, errors, warnings, omitted } = delivery;
        if table.routes().is_empty() && matches!(self.source, Source::File { .. }) {
            warn!("route event=empty source={origin} effect=\"nothing is routed\"");
        }
        let addresses = table.targets().len().saturating_add(table.udp_targets().len());
        let targets = addresses.saturating_add(table.names().len());
        let text = format!(
            "source={origin} routes={} targets={targets} errors={} warnings={} added={} \
             removed={} changed={}",
            table.routes().len(),
            errors.len(),
            warnings.len(),
            delta.added,
            delta.removed,
            delta.changed
        );
        self.report.begin(origin, errors, warnings, omitted);
        (table, Summary { text, changes: delta.lines, not_shown: delta.not_shown })
    }

    /// What a change to `source` needs, if it is another one: opened and
    /// watched, so that it can be read. Nothing is changed yet.
    ///
    /// # Errors
    /// Why it cannot be read, as a sentence.
    pub(super) fn prepare(
        &self,
        reactor: &mut Reactor,
        source: &Source,
    ) -> Result<Prepared, String> {
        let Source::File { path, .. } = source else {
            return Ok(Prepared { file: None, watch: None });
        };
        if source.is_same_place(&self.source) {
            return Ok(Prepared { file: None, watch: None });
        }
        let mut watch = self.watch(reactor, source);
        match RoutesFile::open(path) {
            Ok(file) => Ok(Prepared { file: Some(file), watch }),
            Err(problem) => {
                watch.take().into_iter().for_each(|watch| watch.close(reactor));
                Err(cannot_read(path, &problem))
            }
        }
    }

    /// Makes this the source; what is under way of another one is given up. A
    /// file that was the source before is read again.
    pub(super) fn commit(&mut self, reactor: &mut Reactor, source: Source, prepared: Prepared) {
        let is_same = source.is_same_place(&self.source);
        let old = std::mem::replace(&mut self.source, source);
        match (&self.source, is_same) {
            (Source::Static { .. }, true) if old == self.source => return,
            (Source::File { poll_interval, .. }, true) => {
                self.watch.iter_mut().for_each(|watch| watch.look_every(reactor, *poll_interval));
            }
            _ => {
                self.watch.take().into_iter().for_each(|watch| watch.close(reactor));
                self.watch = prepared.watch;
                self.watches = self.watches.wrapping_add(1);
                self.file = prepared.file;
                self.loader = Loader::new(&self.source);
            }
        }
        self.loader.demand();
    }

    /// Watches the file of a source; without events where the kernel gives none.
    fn watch(&self, reactor: &mut Reactor, source: &Source) -> Option<FileWatch> {
        let Source::File { path, poll_interval } = source else { return None };
        let token = Token::new(Kind::Watch, self.watches.wrapping_add(1), WATCH_INDEX);
        let mut watch = match FileWatch::open(reactor, path, token) {
            Ok(watch) => watch,
            Err(problem) => {
                let effect = match poll_interval.is_zero() {
                    true => "changes are read on SIGHUP only",
                    false => "changes are seen by polling only",
                };
                warn!(
                    "route event=not_watched source={path} error={} effect=\"{effect}\"",
                    quoted(problem)
                );
                FileWatch::without_events(path, token)
            }
        };
        watch.look_every(reactor, *poll_interval);
        Some(watch)
    }
}

impl Daemon {
    /// Puts the first routes in force.
    pub(super) fn load_routes(&mut self, reactor: &mut Reactor) {
        self.routes.load(reactor, &mut self.switchboard, &mut self.prober);
        self.warn_of_missing_routes();
    }

    /// Takes what was found out about names.
    pub(super) fn resolve(&mut self, reactor: &mut Reactor) {
        let progress = self.switchboard.resolve(reactor.now(), &mut self.resolver);
        self.switchboard.hand_over(reactor, &mut self.prober, progress);
    }

    /// Goes on with routes that are under way.
    pub(super) fn advance_routes(&mut self, reactor: &mut Reactor) {
        let was_in_trouble = self.routes.trouble().is_some();
        if self.routes.advance(reactor, &mut self.switchboard, &mut self.prober) {
            self.warn_of_missing_routes();
        }
        // How long it may last is timed from here on, whatever else happens.
        self.facts_changed |= self.routes.trouble().is_some() != was_in_trouble;
        if self.drain.step() == Step::Serving {
            // Nothing else may happen until names are waited for no longer.
            self.alarm.set(&mut reactor.wheel, TIMER, self.switchboard.give_up());
        }
    }

    pub(super) fn warn_of_missing_routes(&self) {
        self.switchboard.warn_of_missing_routes(&self.proxy);
    }
}

/// What is still to be written of a text's lines, some of them a turn.
#[derive(Debug, Default)]
struct Report {
    origin: String,
    errors: IntoIter<LineError>,
    warnings: IntoIter<LineError>,
    changes: IntoIter<String>,
    /// Errors and warnings that are not told one by one.
    omitted: usize,
    /// The same of routes that differ.
    not_shown: usize,
}

impl Report {
    /// Whatever is left of an earlier text is not told any more.
    fn begin(
        &mut self,
        origin: String,
        errors: Vec<LineError>,
        warnings: Vec<LineError>,
        omitted: usize,
    ) {
        let left = self.errors.len().saturating_add(self.warnings.len());
        *self = Report {
            origin,
            errors: errors.into_iter(),
            warnings: warnings.into_iter(),
            omitted: omitted.saturating_add(self.omitted).saturating_add(left),
            ..Report::default()
        };
    }

    /// The table is in force.
    fn conclude(&mut self, summary: Summary) {
        info!("route event=loaded {}", summary.text);
        self.changes = summary.changes.into_iter();
        self.not_shown = summary.not_shown;
    }

    fn is_empty(&self) -> bool {
        self.errors.len() == 0
            && self.warnings.len() == 0
            && self.changes.len() == 0
            && self.omitted == 0
            && self.not_shown == 0
    }

    /// Writes up to `lines` lines, or one more.
    fn log(&mut self, lines: usize) {
        let source = &self.origin;
        let mut left = lines;
        let mut has_room = || {
            left = left.saturating_sub(1);
            left > 0
        };
        while has_room() {
            if let Some(error) = self.errors.next() {
                warn!("route event=line_skipped source={source} error={}", quoted(error));
            } else if let Some(warning) = self.warnings.next() {
                warn!("route event=line_kept source={source} warning={}", quoted(warning));
            } else if self.omitted > 0 {
                let count = std::mem::take(&mut self.omitted);
                warn!("route event=lines_not_shown source={source} count={count}");
            } else if let Some(change) = self.changes.next() {
                info!("route event=changed source={source} line={}", quoted(change));
            } else if self.not_shown > 0 {
                let count = std::mem::take(&mut self.not_shown);
                info!("route event=changes_not_shown source={source} routes={count}");
            } else {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::picking::testing::defaults;
    use crate::route::Picker;
    use crate::route::pick::Strategy;
    use std::net::SocketAddr;
    use std::path::PathBuf;
    use std::time::Duration;

    fn many(first: u16, count: u16) -> String {
        let line = |port| format!("route add a :{port} tcp://192.0.2.1:{port}\n");
        (first..first + count).map(line).collect()
    }

    fn fixed(text: String) -> Source {
        Source::Static { routes: text }
    }

    /// Routes in a file of their own.
    struct Lab {
        file: PathBuf,
        reactor: Reactor,
        switchboard: Switchboard,
        prober: Prober,
        routes: Routes,
    }

    impl Lab {
        fn new(name: &str, text: &str) -> Lab {
            let file =
                std::env::temp_dir().join(format!("burgee-routes-{}-{name}", std::process::id()));
            std::fs::write(&file, text).unwrap();
            let mut reactor = Reactor::new().unwrap();
            let picker = Picker::new(Strategy::RoundRobin, 1);
            let mut switchboard = Switchboard::new(picker, defaults(1, 1));
            let mut prober = Prober::new(64, 1);
            let source = Lab::source_at(&file);
            let mut routes = Routes::open(&mut reactor, source).unwrap();
            routes.load(&mut reactor, &mut switchboard, &mut prober);
            Lab { file, reactor, switchboard, prober, routes }
        }

        fn source_at(file: &std::path::Path) -> Source {
            let path = file.to_str().unwrap().to_owned();
            Source::File { path, poll_interval: Duration::ZERO }
        }

        fn write(&self, text: &str) {
            std::fs::write(&self.file, text).unwrap();
        }

        /// As a reload does.
        fn change(&mut self, source: Source) -> Result<(), String> {
            let prepared = self.routes.prepare(&mut self.reactor, &source)?;
            self.routes.commit(&mut self.reactor, source, prepared);
            Ok(())
        }

        fn reload(&mut self) {
            self.change(Lab::source_at(&self.file.clone())).unwrap();
        }

        /// Whether another table is in force after this turn.
        fn advance(&mut self) -> bool {
            self.routes.advance(&mut self.reactor, &mut self.switchboard, &mut self.prober)
        }

        /// Goes on until nothing is left to be done: in how many turns, and how
        /// many tables came in force.
        fn finish(&mut self) -> (usize, usize) {
            let (mut turns, mut tables) = (0, 0);
            while self.routes.has_ready(&self.switchboard) {
                turns += 1;
                tables += usize::from(self.advance());
                self.prober.flush(&mut self.reactor);
            }
            assert!(!self.switchboard.is_changing());
            let targets = self.switchboard.table().targets().len();
            assert_eq!(self.switchboard.targets().counts().total, targets);
            assert_eq!(self.prober.targets(), targets, "each is checked, and no other");
            (turns, tables)
        }

        /// The first and the last port that is routed.
        fn ports(&self) -> (u16, u16) {
            let address = |target: &(std::rc::Rc<str>, SocketAddr)| target.1.port();
            let mut ports: Vec<u16> =
                self.switchboard.table().targets().iter().map(address).collect();
            ports.sort_unstable();
            (*ports.first().unwrap(), *ports.last().unwrap())
        }
    }

    impl Drop for Lab {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.file);
        }
    }

    #[test]
    fn a_large_file_takes_many_turns_and_each_does_little() {
        let mut lab = Lab::new("large", &many(1, 3));
        assert_eq!(lab.prober.targets(), 3);
        assert!(!lab.routes.has_ready(&lab.switchboard), "the first table is there at once");
        lab.write(&many(2, 5000));
        lab.reload();
        let (mut known, mut tables) = (3, 0);
        while lab.routes.has_ready(&lab.switchboard) {
            tables += usize::from(lab.advance());
            let now = lab.switchboard.targets().counts().total;
            assert!(now.abs_diff(known) <= STEPS, "{known} to {now} in one turn");
            known = now;
        }
        assert_eq!((tables, lab.finish(), lab.ports()), (1, (0, 0), (2, 5001)));
    }

    #[test]
    fn a_small_file_is_in_force_in_the_turn_in_which_it_is_read() {
        let mut lab = Lab::new("small", &many(1, 3));
        lab.write(&many(2, 3));
        lab.reload();
        assert!(lab.advance());
        assert_eq!(lab.ports(), (2, 4));
    }

    /// Another change after any number of turns of the first.
    #[test]
    fn a_newer_change_is_never_lost() {
        for turns in 0..40 {
            let mut lab = Lab::new("newer", &many(1, 300));
            lab.write(&many(100, 1500));
            lab.reload();
            (0..turns).for_each(|_| {
                lab.advance();
            });
            lab.write(&many(200, 400));
            lab.reload();
            lab.finish();
            assert_eq!(lab.ports(), (200, 599), "after {turns} turns");
        }
    }

    #[test]
    fn another_source_takes_over_at_any_time() {
        for turns in 0..40 {
            let mut lab = Lab::new("other", &many(1, 300));
            lab.write(&many(100, 1500));
            lab.reload();
            (0..turns).for_each(|_| {
                lab.advance();
            });
            lab.change(fixed(many(7, 2))).unwrap();
            lab.finish();
            assert_eq!(lab.ports(), (7, 8), "after {turns} turns");
            assert!(lab.routes.watch.is_none());
            assert_eq!(lab.reactor.wheel.len(), 0);
            lab.change(fixed(many(7, 2))).unwrap();
            assert!(!lab.routes.has_ready(&lab.switchboard), "the same text is nothing to do");
            lab.reload();
            lab.finish();
            assert_eq!(lab.ports(), (100, 1599));
        }
    }

    #[test]
    fn a_source_that_cannot_be_read_is_refused_and_changes_nothing() {
        let mut lab = Lab::new("refused", &many(1, 3));
        let missing = lab.file.with_extension("missing");
        let problem = lab.change(Lab::source_at(&missing)).unwrap_err();
        assert!(problem.contains("missing: cannot be read: No such file"), "{problem}");
        assert_eq!(lab.routes.source, Lab::source_at(&lab.file));
        assert_eq!((lab.finish(), lab.ports()), ((0, 0), (1, 3)));
        assert_eq!(lab.reactor.wheel.len(), 0);
    }

    #[test]
    fn a_file_that_is_gone_leaves_its_routes_and_is_told_once() {
        let mut lab = Lab::new("gone", &many(1, 3));
        std::fs::remove_file(&lab.file).unwrap();
        for _ in 0..3 {
            lab.routes.loader.ask();
            assert_eq!(lab.finish().1, 0);
            assert!(lab.routes.loader.trouble().is_some());
        }
        assert_eq!(lab.ports(), (1, 3));
        lab.write(&many(2, 3));
        lab.routes.loader.ask();
        assert_eq!((lab.finish().1, lab.ports()), (1, (2, 4)));
    }

    /// The first piece is read, then the file has other content.
    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again() {
        let mut lab = Lab::new("spoiled", &many(1, 3));
        let long = format!("{}{}", "# filler\n".repeat(40_000), many(2, 3));
        lab.write(&long);
        lab.reload();
        assert!(!lab.advance() && lab.routes.file.is_some());
        lab.write(&long.replace(":4", ":9"));
        lab.finish();
        assert_eq!(lab.ports(), (2, 9));
    }
}
