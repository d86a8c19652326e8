//! burgee's command line: `burgee [run|check|demo] [flags]`.
//!
//! Everything is printed with `writeln!` and its result dropped, so that a
//! closed pipe is no panic.

use std::io::Write;
use std::process::ExitCode;

use burgee::config::{self, LoadError, Loaded, Request};
use burgee::registry::static_routes;
use burgee::{daemon, demo};
use log::LevelFilter;
use simple_logger::SimpleLogger;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into()).collect();
    let (command, flags) = match arguments.split_first() {
        Some((first, rest)) if !first.starts_with('-') => (first.as_str(), rest),
        _ => ("run", arguments.as_slice()),
    };
    match config::request(flags) {
        Request::Version => return print(&format!("burgee {}\n", env!("CARGO_PKG_VERSION"))),
        Request::Help => return print(&config::help::usage()),
        Request::Load => {}
    }
    match command {
        "run" => run(flags),
        "check" => check(flags),
        "demo" => run_demo(flags),
        "help" => print(&config::help::usage()),
        other => {
            complain("error", &format!("unknown sub-command {other:?}; known: run, check, demo"));
            hint();
            ExitCode::from(2)
        }
    }
}

/// `burgee run`: serve until asked to stop.
fn run(flags: &[String]) -> ExitCode {
    match load_all(flags) {
        Ok(loaded) => {
            report_warnings(&loaded.warnings);
            if loaded.config.proxy.listeners.is_empty() && !loaded.config.bgp.enabled {
                complain("error", "nothing to do; `burgee demo` shows what could be");
                hint();
                return ExitCode::FAILURE;
            }
            daemon::run(loaded.config)
        }
        Err(error) => report(&error),
    }
}

/// `burgee demo [--once]`: show everything in one process.
fn run_demo(flags: &[String]) -> ExitCode {
    match flags {
        [] => demo::run(false),
        [once] if once.trim_start_matches('-') == "once" => demo::run(true),
        _ => {
            complain("error", "demo takes no configuration; its only flag is --once");
            hint();
            ExitCode::from(2)
        }
    }
}

/// `burgee check`: errors and warnings on stderr, the configuration in force
/// on stdout. Exits with 0 when it is valid, 2 when the flags are not, and 1
/// when anything else is not.
fn check(flags: &[String]) -> ExitCode {
    // A one-shot command may wait for the reader of its messages, so it needs
    // no log sink; an error says that a logger is set, which none is.
    let _ = SimpleLogger::new().with_level(LevelFilter::Warn).init();
    let loaded = match load_all(flags) {
        Ok(loaded) => loaded,
        Err(error) => {
            let code = report(&error);
            check_routes(&error.static_routes);
            return code;
        }
    };
    report_warnings(&loaded.warnings);
    let routes_are_valid = check_routes(&loaded.config.registry.static_routes);
    print(&loaded.effective.to_string());
    if routes_are_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reports what is wrong with the lines of `registry.static.routes`; says
/// whether nothing is.
fn check_routes(text: &str) -> bool {
    let delivery = static_routes::load(text);
    delivery.warning_lines().for_each(|text| complain("warning", &text));
    delivery.error_lines().for_each(|text| complain("error", &text));
    delivery.errors.is_empty()
}

fn load_all(flags: &[String]) -> Result<Loaded, LoadError> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment: Vec<(String, String)> =
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    config::load(flags, &environment, &|path| std::fs::read(path))
}

fn report(error: &LoadError) -> ExitCode {
    report_warnings(&error.warnings);
    for text in &error.errors {
        complain("error", text);
    }
    if error.exit_code == 2 {
        hint();
    }
    ExitCode::from(error.exit_code)
}

fn report_warnings(warnings: &[String]) {
    for text in warnings {
        complain("warning", text);
    }
}

fn complain(severity: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{severity}: {text}");
}

fn hint() {
    let _ = writeln!(std::io::stderr(), "see burgee --help");
}

/// Prints a text that ends with a newline.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
