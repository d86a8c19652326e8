//! From arguments, environment and file to a [`Config`], or to all that is
//! wrong.

use std::time::Duration;

use super::check::Effective;
use super::command_line::{self, CommandLine};
use super::expansion::Expander;
use super::reader::Reader;
use super::report::{Report, Source};
use super::settings::{self, File, Settings};
use super::{Config, HealthConfig, LogConfig, ProxyConfig, RegistryConfig, Strategy};
use super::{bgp, duration, listeners};

/// Reads a whole file by its path. The loader opens no file itself.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> std::io::Result<Vec<u8>>;

/// A valid configuration.
#[derive(Debug)]
pub struct Loaded {
    /// What was configured.
    pub config: Config,
    /// What is questionable, one line each.
    pub warnings: Vec<String>,
    /// Every key with its value and where that was set.
    pub effective: Effective,
}

/// A configuration that is not valid.
#[derive(Debug)]
pub struct LoadError {
    /// All errors, one line each, with their places; never empty.
    pub errors: Vec<String>,
    /// What is questionable besides, one line each.
    pub warnings: Vec<String>,
    /// The status to exit with: 2 when something on the command line is
    /// wrong, else 1.
    pub exit_code: u8,
}

/// Loads the configuration.
///
/// `arguments` are those after the sub-command, `environment` is all names and
/// values, and `read_file` reads the file of `-cfg` and those of
/// `passwordfile=`.
///
/// # Errors
/// All problems at once, not only the first one.
pub fn load(
    arguments: &[String],
    environment: &[(String, String)],
    read_file: ReadFile<'_>,
) -> Result<Loaded, LoadError> {
    let mut report = Report::default();
    let line = command_line::parse(arguments, &mut report);
    let file = properties_file(&line, environment, read_file, &mut report);
    let file = file.as_ref().map(|(path, text)| File { path, text });
    let settings = settings::merge(&line, environment, file, &mut report);
    let config = build(&settings, &mut report, read_file);
    let exit_code = if report.flag_error() { 2 } else { 1 };
    let (errors, warnings) = report.finish();
    if !errors.is_empty() {
        return Err(LoadError { errors, warnings, exit_code });
    }
    let effective = Effective::new(&settings, &config);
    Ok(Loaded { config, warnings, effective })
}

/// The path and text of the properties file, where there is one.
fn properties_file(
    line: &CommandLine,
    environment: &[(String, String)],
    read_file: ReadFile<'_>,
    report: &mut Report,
) -> Option<(String, String)> {
    let written = line.path.as_deref()?;
    let path = match Expander::new(std::iter::empty(), environment).expand("", written) {
        Ok(path) => path,
        Err(text) => {
            report.command_line(&format!("flag -cfg: {text}"));
            return None;
        }
    };
    if path.starts_with("http://") || path.starts_with("https://") {
        let text = "flag -cfg: a configuration from a URL is not supported; give a file";
        report.command_line(text);
        return None;
    }
    let bytes = match read_file(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.error(&Source::Default, &format!("{path}: cannot be read: {error}"));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some((path, text)),
        Err(error) => {
            let (valid, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
            let line = valid.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
            let source = Source::File { path, line };
            report.error(&source, "the file is not UTF-8");
            None
        }
    }
}

/// Gives every key of the table its value. What it gives is of use only when
/// nothing was reported.
fn build(settings: &Settings, report: &mut Report, read_file: ReadFile<'_>) -> Config {
    let mut reader = Reader { settings, report };
    let bgp = bgp::read(&mut reader, read_file);
    let proxy = proxy(&mut reader, bgp.enabled);
    let log = LogConfig { level: log_level(&mut reader) };
    let registry = registry(&mut reader);
    let health = health(&mut reader);
    let config = Config { proxy, log, registry, health, bgp };
    warn_of_silence(&config, &mut reader);
    config
}

fn proxy(reader: &mut Reader<'_>, bgp_enabled: bool) -> ProxyConfig {
    let read_timeout = reader.duration("proxy.readtimeout");
    let write_timeout = reader.duration("proxy.writetimeout");
    let listeners = listeners::read(reader, read_timeout, write_timeout);
    let strategy = reader.parse("proxy.strategy", |text| match text {
        "rnd" => Ok(Strategy::Random),
        "rr" => Ok(Strategy::RoundRobin),
        _ => Err("expected rnd or rr".to_string()),
    });
    // Left out, the withdrawal gets a moment to travel before we stop.
    let default_grace = Duration::from_secs(if bgp_enabled { 2 } else { 0 });
    let grace = reader.parse("proxy.deregistergraceperiod", |text| match text {
        "" => Ok(default_grace),
        text => duration::parse(text),
    });
    ProxyConfig {
        listeners,
        strategy: strategy.unwrap_or(Strategy::Random),
        dial_timeout: reader.duration_from("proxy.dialtimeout", Duration::from_nanos(1)),
        idle_timeout: reader.duration("proxy.idletimeout"),
        connection_limit: reader.number("proxy.connectionlimit", 0..=u32::MAX),
        shutdown_wait: reader.duration("proxy.shutdownwait"),
        deregister_grace_period: grace.unwrap_or_default(),
    }
}

fn log_level(reader: &mut Reader<'_>) -> log::LevelFilter {
    let level = reader.parse("log.level", |text| match text.to_ascii_uppercase().as_str() {
        "TRACE" => Ok(log::LevelFilter::Trace),
        "DEBUG" => Ok(log::LevelFilter::Debug),
        "INFO" => Ok(log::LevelFilter::Info),
        "WARN" => Ok(log::LevelFilter::Warn),
        "ERROR" | "FATAL" => Ok(log::LevelFilter::Error),
        _ => Err("expected TRACE, DEBUG, INFO, WARN, ERROR or FATAL".to_string()),
    });
    level.unwrap_or(log::LevelFilter::Info)
}

fn registry(reader: &mut Reader<'_>) -> RegistryConfig {
    reader.parse("registry.backend", |text| match text {
        "static" => Ok(()),
        "consul" | "file" | "custom" => Err(format!(
            "the {text} backend is not supported yet; write static, and the routes in \
             registry.static.routes"
        )),
        _ => Err("expected static".to_string()),
    });
    RegistryConfig { static_routes: reader.text("registry.static.routes").to_string() }
}

fn health(reader: &mut Reader<'_>) -> HealthConfig {
    HealthConfig {
        interval: reader.duration_from("health.interval", Duration::from_millis(10)),
        timeout: reader.duration_from("health.timeout", Duration::from_nanos(1)),
        rise: reader.number("health.rise", 1..=u32::MAX),
        fall: reader.number("health.fall", 1..=u32::MAX),
    }
}

/// A configuration that will do nothing is most likely not what was meant.
fn warn_of_silence(config: &Config, reader: &mut Reader<'_>) {
    // An error in proxy.addr leaves the list empty too, and is enough.
    if super::kv_list::parse(reader.text("proxy.addr")) != Ok(Vec::new()) {
        return;
    }
    if !config.bgp.enabled {
        let text = "proxy.addr is empty and bgp.enabled is false: there is nothing to do";
        reader.report.warn(&Source::Default, text);
    } else if config.bgp.announce == super::AnnouncePolicy::Ready {
        let text = "proxy.addr is empty and bgp.announce is ready: nothing will ever be announced";
        reader.report.warn(&Source::Default, text);
    }
}
