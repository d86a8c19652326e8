//! What the operator orders while we run: maintenance by a file or by a command,
//! of everything or of one prefix.

use ipnet::IpNet;
use log::{info, warn};

use super::Daemon;
use crate::announce::drain::Step;
use crate::reactor::log_sink::quoted;
use crate::reactor::presence::Presence;
use crate::reactor::{Kind, Reactor, Time, Token};

/// `bgp.maintenancefile`. The properties file and that of the routes have other
/// indices.
const MAINTENANCE: Token = Token::new(Kind::Watch, 0, 2);

impl Daemon {
    /// Watches `bgp.maintenancefile`, or another one, or none, as the
    /// configuration says.
    pub(super) fn watch_maintenance(&mut self, reactor: &mut Reactor) {
        let wanted = self.config.bgp.maintenance_file.as_deref();
        if wanted == self.maintenance_file.as_ref().map(Presence::path) {
            return;
        }
        self.facts_changed = true;
        self.maintenance_file =
            wanted.map(|path| match Presence::open(reactor, path, MAINTENANCE) {
                Ok(presence) => presence,
                Err(problem) => {
                    let (file, error) = (quoted(path), quoted(problem));
                    warn!(
                        "maintenance event=not_watched file={file} error={error} \
                         effect=\"it is looked at now, and not again until a restart\""
                    );
                    Presence::unwatched(path, MAINTENANCE)
                }
            });
        if let Some(file) = self.maintenance_file.as_ref().filter(|file| file.is_there()) {
            info!("maintenance event=begun file={}", quoted(file.path()));
        }
    }

    /// Control: the file may have come or gone.
    pub(super) fn look_at_maintenance(&mut self) {
        let Some(file) = &mut self.maintenance_file else { return };
        if file.poll_changed() {
            let event = if file.is_there() { "begun" } else { "ended" };
            info!("maintenance event={event} file={}", quoted(file.path()));
            self.facts_changed = true;
        }
    }

    /// Withdraws a prefix, or everything, until it is resumed. Says what begins.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub fn drain_by_operator(
        &mut self,
        now: Time,
        prefix: Option<IpNet>,
    ) -> Result<String, String> {
        self.refuse_while_stopping()?;
        let what = name(prefix);
        if !self.announcing.drains.drain(prefix) {
            return Ok(format!("{what} is withdrawn already"));
        }
        if prefix.is_none() {
            self.announcing.drained_since = now;
        }
        info!("maintenance event=begun by=operator prefix={}", log_name(prefix));
        self.facts_changed = true;
        let wait = self.config.bgp.graceful_shutdown;
        Ok(match wait.is_zero() {
            true => format!("{what} is being withdrawn; sessions stay up, and clients are served"),
            false => format!(
                "{what} is announced with GRACEFUL_SHUTDOWN for {} s and then withdrawn",
                wait.as_secs_f64()
            ),
        })
    }

    /// Ends [`Daemon::drain_by_operator`]. Says what follows.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub fn resume_by_operator(&mut self, prefix: Option<IpNet>) -> Result<String, String> {
        self.refuse_while_stopping()?;
        let what = name(prefix);
        let is_new = self.announcing.drains.resume(prefix);
        if is_new {
            info!("maintenance event=ended by=operator prefix={}", log_name(prefix));
            self.facts_changed = true;
        }
        let file = self.maintenance_file.as_ref().filter(|file| file.is_there());
        Ok(match (file, prefix) {
            (Some(file), _) => {
                format!("{what} stays withdrawn: the maintenance file {} is there", file.path())
            }
            (None, Some(_)) if self.announcing.drains.all => {
                format!("{what} stays withdrawn: everything is, until `burgee resume`")
            }
            _ if is_new => format!("{what} is announced again as soon as it can be served"),
            _ => format!("{what} was not withdrawn by an operator"),
        })
    }

    fn refuse_while_stopping(&self) -> Result<(), String> {
        match self.drain.step() {
            Step::Serving => Ok(()),
            _ => Err("a stop is under way".to_owned()),
        }
    }
}

fn name(prefix: Option<IpNet>) -> String {
    prefix.map_or_else(|| "everything".to_owned(), |prefix| prefix.to_string())
}

fn log_name(prefix: Option<IpNet>) -> String {
    prefix.map_or_else(|| "all".to_owned(), |prefix| prefix.to_string())
}
