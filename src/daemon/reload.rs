//! A reload: everything is read again, and what differs is put in force.
//!
//! New listeners are opened before anything is touched. So a configuration with
//! an error in it, or one that cannot be served, leaves the old one in force as
//! a whole.

use std::fs::File;
use std::io::{self, Read};

use log::{error, info, warn};

use super::{Daemon, api, routes, seed, settings};
use crate::announce::drain::{Drain, Step};
use crate::bgp::rib::originated::Owner;
use crate::bgp::speaker::PeerId;
use crate::bgp::transport;
use crate::config::change::{self, Change, ChangeKind};
use crate::config::options::Impact;
use crate::config::{Config, Sources};
use crate::proxy;
use crate::reactor::inotify::FileWatch;
use crate::reactor::log_sink::quoted;
use crate::reactor::{Kind, Reactor, Token};
use crate::route::Picker;

/// The properties file and its timer.
const WATCH: Token = Token::new(Kind::Watch, 0, 0);

/// Most octets of a file that a reload reads, some milliseconds of work. The
/// start takes longer ones: nobody is served yet.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Most changes that are logged one by one, so that a new route table does not
/// push everything else out of the log.
const LOGGED: usize = 100;

/// A configuration that is valid, with its new listeners open.
struct Prepared {
    config: Config,
    routes: routes::Prepared,
    proxy: proxy::Prepared,
    bgp: Option<transport::Prepared>,
    api: Option<api::Prepared>,
}

impl Daemon {
    /// Says what a reload reads. Without, there is none.
    pub fn reload_from(&mut self, reactor: &mut Reactor, sources: Sources) {
        self.sources = Some(sources);
        self.watch_file(reactor);
    }

    /// Reads everything again, and puts in force what differs.
    pub(super) fn reload(&mut self, reactor: &mut Reactor) {
        let refused = |reason: &str| {
            error!(
                "reload event=refused reason={} effect=\"the old configuration stays in force\"",
                quoted(reason)
            );
        };
        if self.drain.step() != Step::Serving {
            return refused("a stop is under way");
        }
        let Some(sources) = &self.sources else {
            return refused("there is nothing to read again");
        };
        let loaded = match sources.load(&read_file) {
            Ok(loaded) => loaded,
            Err(problem) => {
                problem.warnings.iter().for_each(|text| warn(text));
                for text in &problem.errors {
                    error!("reload event=error error={}", quoted(text));
                }
                return refused("the configuration is not valid");
            }
        };
        let (errors, warnings) = Daemon::check(&loaded);
        loaded.warnings.iter().chain(&warnings).for_each(|text| warn(text));
        if !errors.is_empty() {
            for text in &errors {
                error!("reload event=error error={}", quoted(text));
            }
            return refused("the configuration is not valid");
        }
        let changes = change::between(&self.config, &loaded.config);
        let config = change::in_force(&self.config, &loaded.config);
        match self.prepare(reactor, config) {
            Ok(prepared) => {
                // What a reload does is told by the more talkative of both levels.
                let level = prepared.config.log.level;
                log::set_max_level(level.max(self.config.log.level));
                report(&changes);
                let problems = self.put_in_force(reactor, prepared);
                self.effective =
                    self.effective.take().map(|old| loaded.effective.after_reload(&old));
                for problem in &problems {
                    error!("reload event=failed error={}", quoted(problem));
                }
                let waiting = changes.iter().filter(|c| c.impact == Impact::Restart).count();
                #[cfg(feature = "http")]
                self.tally.reload_done();
                info!(
                    "reload event=done changes={} restart_needed={waiting} failed={}",
                    changes.len(),
                    problems.len()
                );
                log::set_max_level(level);
            }
            Err(problem) => refused(&problem),
        }
    }

    fn prepare(&mut self, reactor: &mut Reactor, config: Config) -> Result<Prepared, String> {
        let proxy = self.proxy.prepare_change(settings::proxy(&config))?;
        let bgp = match &mut self.bgp {
            Some(bgp) => {
                let peers = settings::peers(&config.bgp);
                Some(bgp.prepare_change(reactor, peers, settings::transport(&config.bgp))?)
            }
            None => None,
        };
        let routes = self.routes.prepare(reactor, &routes::source(&config.registry))?;
        let api = self.api.prepare_change(&config)?;
        Ok(Prepared { config, routes, proxy, bgp, api })
    }

    /// Hands every room what it wants of the new configuration; each finds out
    /// by itself what differs. Returns what went wrong.
    fn put_in_force(&mut self, reactor: &mut Reactor, prepared: Prepared) -> Vec<String> {
        let Prepared { config, routes, proxy, bgp, api } = prepared;
        let old = std::mem::replace(&mut self.config, config);
        // What is no longer announced is withdrawn before its listener is closed.
        let mut problems = bgp.map_or_else(Vec::new, |bgp| self.change_bgp(reactor, bgp));
        problems.extend(self.proxy.commit_change(reactor, proxy));
        problems.extend(self.api.commit_change(reactor, api));
        let strategy = self.config.proxy.strategy;
        if strategy != old.proxy.strategy {
            self.switchboard.set_picker(Picker::new(settings::strategy(strategy), seed(reactor)));
        }
        self.switchboard.set_service_limit(self.config.proxy.service_limit);
        // It holds for those as well whose targets have left already.
        self.switchboard.swept |= self.config.proxy.removed_targets != old.proxy.removed_targets;
        self.resolver.reload(reactor.now());
        self.switchboard.set_health(settings::health(&self.config.health));
        self.knocker.change(settings::knocks(&self.config.health));
        self.drain = Drain::new(settings::drain_limits(&self.config));
        self.routes.commit(reactor, routes::source(&self.config.registry), routes);
        if self.config.proxy.listeners != old.proxy.listeners {
            self.warn_of_missing_routes();
        }
        self.watch_file(reactor);
        self.watch_maintenance(reactor);
        self.facts_changed = true;
        problems
    }

    fn change_bgp(&mut self, reactor: &mut Reactor, prepared: transport::Prepared) -> Vec<String> {
        let Some(bgp) = &mut self.bgp else { return Vec::new() };
        let config = &self.config.bgp;
        let gone = self.announcing.change(reactor.now(), &self.config);
        for prefix in &gone {
            info!("announce event=withdrawn prefix={prefix} reason=\"no longer configured\"");
        }
        let announced = &self.announcing.announcer;
        let before: Vec<PeerId> = bgp.speaker().peer_ids().collect();
        let mut problems = bgp.commit_change(reactor, prepared, |speaker| {
            gone.iter().for_each(|prefix| speaker.withdraw(*prefix, Owner::Announcer));
            for (prefix, level) in announced.desired() {
                let path = settings::path(config, prefix, level);
                speaker.originate(prefix, Owner::Announcer, path);
            }
        });
        gone.iter().for_each(|prefix| self.take_from_host(reactor, *prefix));
        self.read_notices(reactor);
        problems.extend(self.change_bfd(reactor, &before));
        problems
    }

    /// Makes the BFD sessions those that are configured now. Returns what went
    /// wrong.
    fn change_bfd(&mut self, reactor: &mut Reactor, before: &[PeerId]) -> Vec<String> {
        let mut problems = Vec::new();
        let Daemon { bgp: Some(bgp), bfd, config, .. } = self else { return problems };
        for id in before.iter().filter(|id| bgp.speaker().peer(**id).is_none()) {
            bfd.retire(reactor, id.0);
        }
        for id in bgp.speaker().peer_ids() {
            let Some(peer) = bgp.speaker().peer(id) else { continue };
            let (name, established) = (peer.settings().audience(), peer.established().is_some());
            let at_connection = || {
                let remote = bgp.remote(id)?;
                settings::bfd_at(&config.bgp, id.0, name, remote)
            };
            match settings::bfd_with(&config.bgp, id.0, name).or_else(at_connection) {
                Some(session) => {
                    problems.extend(bfd.ensure(reactor, session).err());
                    bfd.set_administratively_down(id.0, !established);
                }
                None => bfd.retire(reactor, id.0),
            }
        }
        problems
    }

    /// Watches the properties file, or no longer, as `config.watch` says.
    fn watch_file(&mut self, reactor: &mut Reactor) {
        let path = self.sources.as_ref().and_then(Sources::path);
        let wanted = path.filter(|_| self.config.watch);
        match (wanted, self.watch.take()) {
            (Some(_), Some(watch)) => self.watch = Some(watch),
            (Some(path), None) => match FileWatch::open(reactor, &path, WATCH) {
                Ok(watch) => self.watch = Some(watch),
                Err(problem) => {
                    warn!("reload event=not_watched file={path} error={}", quoted(problem));
                }
            },
            (None, Some(watch)) => watch.close(reactor),
            (None, None) => {}
        }
    }
}

fn warn(text: &str) {
    warn!("reload event=warning warning={}", quoted(text));
}

fn report(changes: &[Change]) {
    for change in changes.iter().take(LOGGED) {
        let (place, impact) = (quoted(change.place()), change.impact.word());
        match &change.kind {
            ChangeKind::Added => {
                info!("reload event=changed item={place} change=added impact={impact}");
            }
            ChangeKind::Removed => {
                info!("reload event=changed item={place} change=removed impact={impact}");
            }
            ChangeKind::Changed { old, new } if change.impact == Impact::Restart => warn!(
                "reload event=changed item={place} old={} new={} impact={impact} \
                 effect=\"the old value stays in force until a restart\"",
                quoted(old),
                quoted(new)
            ),
            ChangeKind::Changed { old, new } => info!(
                "reload event=changed item={place} old={} new={} impact={impact}",
                quoted(old),
                quoted(new)
            ),
        }
    }
    let more = changes.len().saturating_sub(LOGGED);
    if more > 0 {
        info!("reload event=changed more={more}");
    }
}

/// Reads a file while others are served: only a regular one, which cannot make
/// us wait, and no more than [`FILE_LIMIT`].
fn read_file(path: &str) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file, so it cannot be read again"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_LIMIT.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_LIMIT {
        true => Err(io::Error::other("it is longer than 1 MiB, which needs a restart")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_that_is_not_too_long_is_read() {
        let directory = std::env::temp_dir();
        let path = directory.join(format!("burgee-reload-{}", std::process::id()));
        let path = path.to_str().expect("a plain name");
        let limit = usize::try_from(FILE_LIMIT).expect("small");
        std::fs::write(path, vec![b'#'; limit]).expect("written");
        assert_eq!(read_file(path).expect("as long as may be").len(), limit);
        std::fs::write(path, vec![b'#'; limit + 1]).expect("written");
        let error = read_file(path).expect_err("too long");
        assert!(error.to_string().contains("needs a restart"), "{error}");
        std::fs::remove_file(path).expect("it is there");
        assert_eq!(read_file(path).expect_err("gone").kind(), io::ErrorKind::NotFound);
        // One that would be read for ever, and others that would block.
        for path in ["/dev/zero", "/proc"] {
            assert!(read_file(path).expect_err(path).to_string().contains("regular"), "{path}");
        }
    }
}
