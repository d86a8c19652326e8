//! burgee's command line: `burgee [COMMAND] [flags]`.
//!
//! Everything is printed with `writeln!` and its result dropped, so that a
//! closed pipe is no panic.

use std::io::Write;
use std::process::ExitCode;

use burgee::config::{self, Backend, LoadError, Loaded, Request, Sources, change};
use burgee::reactor::interfaces;
use burgee::registry::{Delivery, file, static_routes};
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
        name if COMMANDS.contains(&name) => ask(name, flags),
        other => {
            let known = COMMANDS.join(", ");
            let what = format!("unknown sub-command {other:?}; known: run, check, demo, {known}");
            complain("error", &what);
            hint();
            ExitCode::from(2)
        }
    }
}

/// The commands that ask a running instance.
const COMMANDS: [&str; 4] = ["status", "explain", "drain", "resume"];

/// One of [`COMMANDS`]. The socket is that of the configuration that the flags
/// and the environment lead to, as they would lead the instance.
#[cfg(feature = "http")]
fn ask(name: &str, arguments: &[String]) -> ExitCode {
    burgee::command::run(name, arguments, |flags| {
        let loaded = load_all(flags).map_err(|error| error.errors.join("\n"))?;
        Ok(loaded.config.ui.socket.unwrap_or_default())
    })
}

#[cfg(not(feature = "http"))]
fn ask(name: &str, _: &[String]) -> ExitCode {
    let what = format!("`{name}` needs the feature `http`, without which this burgee was built");
    complain("error", &what);
    ExitCode::from(2)
}

/// `burgee run`: serve until asked to stop.
fn run(flags: &[String]) -> ExitCode {
    let sources = sources(flags);
    match sources.load(&|path| std::fs::read(path)) {
        Ok(loaded) => {
            report_warnings(&loaded.warnings);
            let (errors, warnings) = daemon::Daemon::check(&loaded);
            report_warnings(&warnings);
            if !errors.is_empty() {
                report_errors(&errors);
                return ExitCode::FAILURE;
            }
            if loaded.config.proxy.listeners.is_empty() && !loaded.config.bgp.enabled {
                complain("error", "nothing to do; `burgee demo` shows what could be");
                hint();
                return ExitCode::FAILURE;
            }
            daemon::run(loaded, sources)
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
    match config::difference(flags) {
        Some(Ok((old, new, rest))) => return check_difference(old, new, rest),
        Some(Err(problem)) => {
            complain("error", &problem);
            hint();
            return ExitCode::from(2);
        }
        None => {}
    }
    let loaded = match load_all(flags) {
        Ok(loaded) => loaded,
        Err(error) => {
            let code = report(&error);
            check_routes(&static_routes::load(&error.static_routes));
            return code;
        }
    };
    report_warnings(&loaded.warnings);
    let (errors, warnings) = daemon::Daemon::check(&loaded);
    report_warnings(&warnings);
    report_errors(&errors);
    let routes_are_valid = check_backend(&loaded.config.registry.backend);
    if !errors.is_empty() {
        return ExitCode::FAILURE;
    }
    print(&loaded.effective.to_string());
    if routes_are_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `burgee check --diff OLD NEW`: what a reload from one file to the other
/// would do, a line each; nothing where they are the same.
fn check_difference(old: &str, new: &str, rest: &[String]) -> ExitCode {
    let of = |path: &str| {
        let flags: Vec<String> =
            rest.iter().cloned().chain(["-cfg".to_owned(), path.to_owned()]).collect();
        load_all(&flags)
    };
    let (old, new) = match (of(old), of(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(error), _) | (_, Err(error)) => return report(&error),
    };
    report_warnings(&new.warnings);
    let (errors, warnings) = daemon::Daemon::check(&new);
    report_warnings(&warnings);
    report_errors(&errors);
    let routes_are_valid = check_backend(&new.config.registry.backend) && errors.is_empty();
    let changes = change::between(&old.config, &new.config);
    print(&changes.iter().map(|change| format!("{change}\n")).collect::<String>());
    if routes_are_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reports what is wrong with the route commands; says whether nothing is.
fn check_backend(backend: &Backend) -> bool {
    match backend {
        Backend::Static { routes } => check_routes(&static_routes::load(routes)),
        Backend::File { path, poll_interval: _ } => match daemon::read_routes_file(path) {
            Ok(content) => check_routes(&file::load(path, &content)),
            Err(problem) => {
                complain("error", &problem);
                false
            }
        },
    }
}

fn check_routes(delivery: &Delivery) -> bool {
    delivery.warning_lines().for_each(|text| complain("warning", &text));
    delivery.error_lines().for_each(|text| complain("error", &text));
    delivery.errors.is_empty()
}

fn sources(flags: &[String]) -> Sources {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    Sources { arguments: flags.to_vec(), environment, interfaces: interfaces::list }
}

fn load_all(flags: &[String]) -> Result<Loaded, LoadError> {
    sources(flags).load(&|path| std::fs::read(path))
}

fn report(error: &LoadError) -> ExitCode {
    report_warnings(&error.warnings);
    report_errors(&error.errors);
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

fn report_errors(errors: &[String]) {
    for text in errors {
        complain("error", text);
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
