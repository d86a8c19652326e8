//! BGP and BFD side by side: which path is watched, and what becomes of a
//! session when it is lost.

use log::warn;

use super::{Daemon, settings};
use crate::bfd::transport::{BfdTransport, Notice, Ports};
use crate::bgp::message::notification::{Notification, cease};
use crate::bgp::peer::{Action, Peer};
use crate::bgp::speaker::{PeerId, Speaker};
use crate::bgp::transport::Transport;
use crate::config::Config;
use crate::reactor::Reactor;
use crate::reactor::log_sink::quoted;

impl Daemon {
    /// What BFD finds out reaches BGP in the same turn (RFC 5882 §4.3).
    pub(super) fn watch_paths(&mut self, reactor: &mut Reactor) {
        self.bfd.control(reactor);
        while let Some((id, notice)) = self.bfd.poll_notice() {
            // A session that is taken down on purpose says nothing of the path
            // (RFC 5882 §3.2).
            if let (Notice::Down { .. }, Some(bgp)) = (notice, &mut self.bgp) {
                bgp.reset(reactor, PeerId(id), Notification::cease(cease::BFD_DOWN, ""));
            }
        }
    }

    /// The path is watched while there is a session on it: some neighbours begin
    /// with BFD anew when BGP comes up, and that must not look like a loss.
    pub(super) fn read_notices(&mut self, reactor: &mut Reactor) {
        let Some(bgp) = &mut self.bgp else { return };
        let mut is_news = false;
        while let Some((id, notice)) = bgp.poll_notice() {
            is_news = true;
            match notice {
                Action::Up { .. } => watch_path(reactor, bgp, &mut self.bfd, &self.config, id),
                Action::Down { down, .. } if down.was_established => {
                    let stays = bgp.speaker().peer(id).is_some() && bgp.group(id).is_none();
                    match stays {
                        true => self.bfd.set_administratively_down(id.0, true),
                        false => self.bfd.retire(reactor, id.0),
                    }
                }
                _ => {}
            }
        }
        if is_news {
            self.tell_status(reactor);
        }
    }
}

pub(super) fn start_bfd(
    reactor: &mut Reactor,
    config: &Config,
    seed: u64,
) -> Result<BfdTransport, String> {
    let mut bfd = BfdTransport::new(settings::BFD_KINDS, Ports::default(), seed);
    let sessions = config.bgp.enabled.then(|| settings::bfd(&config.bgp));
    for settings in sessions.into_iter().flatten() {
        let id = settings.id;
        bfd.ensure(reactor, settings)?;
        bfd.set_administratively_down(id, true);
    }
    Ok(bfd)
}

/// Lets the BFD session with a neighbour that is up run, and makes it first
/// where the connection had to say where that is.
fn watch_path(
    reactor: &mut Reactor,
    bgp: &Transport,
    bfd: &mut BfdTransport,
    config: &Config,
    id: PeerId,
) {
    let Some(peer) = bgp.speaker().peer(id).map(Peer::settings) else { return };
    let remote = bgp.remote(id);
    let settings =
        remote.and_then(|remote| settings::bfd_at(&config.bgp, id.0, peer.audience(), remote));
    if let Some(settings) = settings
        && let Err(problem) = bfd.ensure(reactor, settings)
    {
        warn!("bfd event=not_started peer={} error={}", peer.name, quoted(problem));
    }
    bfd.set_administratively_down(id.0, false);
}

pub(super) fn start_bgp(
    reactor: &mut Reactor,
    config: &Config,
    seed: u64,
) -> Result<Option<Transport>, String> {
    if !config.bgp.enabled {
        return Ok(None);
    }
    let mut speaker = Speaker::new(settings::peers(&config.bgp), seed);
    speaker.set_complete(false);
    let mut bgp = Transport::new(reactor, speaker, settings::transport(&config.bgp))?;
    bgp.start(reactor);
    Ok(Some(bgp))
}
