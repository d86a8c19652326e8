//! The life of the process: from a valid configuration to an exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use log::{error, info};

use super::Daemon;
use crate::config::{Loaded, Sources};
use crate::reactor::log_sink::quoted;
use crate::reactor::memory::map_large_pieces;
use crate::reactor::signal::raise_descriptor_limit;
use crate::reactor::{Reactor, log_sink, poll};

/// The exit code after a fault in shared state (sysexits' EX_SOFTWARE).
const EXIT_FAULT: i32 = 70;

/// Runs the daemon until it is asked to stop. `sources` are what was loaded, and what a reload reads again.
pub fn run(loaded: Loaded, sources: Sources) -> ExitCode {
    let code = match start(loaded, sources) {
        Ok((mut reactor, mut daemon)) => {
            let code = turn_until_done(&mut reactor, &mut daemon);
            daemon.flush_at_exit();
            code
        }
        Err(problem) => {
            error!("daemon event=start_failed error={}", quoted(problem));
            1
        }
    };
    log_sink::flush_at_exit();
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn start(loaded: Loaded, sources: Sources) -> Result<(Reactor, Daemon), String> {
    log_sink::install(loaded.config.log.level);
    map_large_pieces();
    let (soft, _) = raise_descriptor_limit();
    let mut reactor = Reactor::new().map_err(|error| format!("cannot poll: {error}"))?;
    log_sink::attach(&mut reactor);
    info!("daemon event=start version={} descriptors={soft}", env!("CARGO_PKG_VERSION"));
    if std::env::var_os("BURGEE_MEASURE_CPU").is_some() {
        reactor.measure_cpu();
    }
    let seed = seed(&reactor);
    let mut daemon = Daemon::start(&mut reactor, loaded.config, seed)?;
    daemon.effective = Some(loaded.effective);
    daemon.reload_from(&mut reactor, sources);
    daemon.report_to_manager(&mut reactor);
    if let Ok(place) = std::env::var("BURGEE_INJECT_PANIC") {
        daemon.inject_panic(&place);
    }
    Ok((reactor, daemon))
}

/// A seed for jitter and picking that differs between processes and starts.
pub(crate) fn seed(reactor: &Reactor) -> u64 {
    let nanos = u64::try_from(reactor.wall().as_nanos()).unwrap_or_default();
    nanos ^ (u64::from(std::process::id()) << 32)
}

/// The outermost unwind boundary: a panic that gets here was in shared state,
/// and nothing can be trusted any more.
fn turn_until_done(reactor: &mut Reactor, daemon: &mut Daemon) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(|| poll::run(reactor, daemon)));
    match outcome {
        Ok(Ok(code)) => {
            let cpu = reactor.longest_turn_cpu();
            let cpu = cpu.map(|cpu| format!(" longest_turn_cpu={}us", cpu.as_micros()));
            info!(
                "daemon event=stopped code={code} turns={} longest_turn={}us{} panics={}",
                reactor.turns(),
                reactor.longest_turn().as_micros(),
                cpu.unwrap_or_default(),
                daemon.panics()
            );
            code
        }
        Ok(Err(problem)) => {
            error!("daemon event=poll_failed error={}", quoted(problem));
            daemon.last_words();
            1
        }
        Err(_) => {
            error!("daemon event=fault effect=\"neighbours are told, the process ends\"");
            daemon.last_words();
            EXIT_FAULT
        }
    }
}
