//! What outlives the process (`bgp.announce.statefile`): how far prefixes have
//! flapped, what the operator withdrew, which addresses are ours.

use std::path::Path;
use std::time::Duration;

use log::{info, warn};

use super::Daemon;
use crate::announce::drain::Step;
use crate::announce::{Identity, Record, Restored};
use crate::config::Config;
use crate::reactor::Reactor;
use crate::reactor::log_sink::quoted;
use crate::reactor::state_file::StateFile;

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct Memory {
    file: StateFile,
    said: Option<Record>,
    /// It could not be written the last time.
    is_failing: bool,
}

fn identity(config: &Config) -> Identity {
    Identity { router_id: config.bgp.router_id, asn: config.bgp.asn }
}

/// Opens the file, and reads what the process before has left. Without it the
/// start is a clean one; nothing fails for it.
pub(super) fn recall(config: &Config, wall: Duration) -> (Option<Memory>, Restored) {
    let Some(path) = config.bgp.announcing.state_file.as_deref().filter(|_| config.bgp.enabled)
    else {
        return (None, Restored::default());
    };
    let off = |error: &dyn std::fmt::Display| {
        warn!(
            "memory event=off file={} error={} effect=\"penalties, drains and addresses are \
             forgotten at the end\"",
            quoted(path),
            quoted(error)
        );
    };
    let file = match StateFile::open(Path::new(path)) {
        Ok(file) => file,
        Err(error) => {
            off(&error);
            return (None, Restored::default());
        }
    };
    let text = match file.read() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            off(&error);
            return (None, Restored { unclean: true, ..Restored::default() });
        }
    };
    let left = Some(text.as_str()).filter(|text| !text.is_empty());
    let restored = Restored::read(left, identity(config), wall);
    tell(path, &restored, left.is_some());
    (Some(Memory { file, said: None, is_failing: false }), restored)
}

fn tell(path: &str, restored: &Restored, is_there: bool) {
    let file = quoted(path);
    if let Some(problem) = &restored.problem {
        warn!("memory event=not_believed file={file} problem={}", quoted(problem));
    }
    if restored.unclean {
        warn!(
            "memory event=restored file={file} unclean=true effect=\"the first announcement waits \
             for bgp.announce.holdup\""
        );
    } else if is_there {
        info!("memory event=restored file={file} unclean=false");
    }
    if restored.drains.all {
        warn!("maintenance event=goes_on prefix=all expected=\"`burgee resume` ends it\"");
    }
    for prefix in &restored.drains.prefixes {
        warn!(
            "maintenance event=goes_on prefix={prefix} expected=\"`burgee resume {prefix}` ends it\""
        );
    }
}

impl Daemon {
    /// Writes down what has changed.
    pub(super) fn remember(&mut self, reactor: &Reactor) {
        let Some(memory) = &self.memory else { return };
        let millis = u64::try_from(reactor.wall().as_millis()).unwrap_or(u64::MAX);
        let record = Record {
            clean: self.drain.step() == Step::Done,
            written: Duration::from_millis(millis),
            identity: identity(&self.config),
            drains: self.announcing.drains.clone(),
            prefixes: self.announcing.announcer.record(reactor.now()),
            vips: self.vip_records(),
        };
        let is_news = !memory.said.as_ref().is_some_and(|said| record.says_the_same_as(said));
        if !is_news {
            return;
        }
        let outcome = memory.file.replace(record.to_string().as_bytes());
        let Some(memory) = &mut self.memory else { return };
        match outcome {
            Ok(()) => (memory.said, memory.is_failing) = (Some(record), false),
            // Tried again with the next change; told once.
            Err(error) if !std::mem::replace(&mut memory.is_failing, true) => {
                warn!("memory event=not_written error={}", quoted(error));
            }
            Err(_) => {}
        }
    }
}
