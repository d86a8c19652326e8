//! From arguments, environment and file to a [`Config`], or to all that is
//! wrong.

use std::io;
use std::time::Duration;

use super::check::Effective;
use super::command_line::{self, CommandLine};
use super::expansion::Expander;
use super::reader::Reader;
use super::report::{Report, Source};
use super::settings::{self, File, Settings};
use super::templates::ListInterfaces;
use super::{
    AccessLogConfig, AccessLogTarget, Backend, Config, LogConfig, ProxyConfig, RegistryConfig,
    RemovedTargets, Strategy,
};
use super::{bgp, deprefer_rules, duration, health, listeners, ui};
use crate::reactor::interfaces::Interfaces;

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
    /// The text of `registry.static.routes`, as far as it could be read: its
    /// lines can be judged all the same.
    pub static_routes: String,
    /// The status to exit with: 2 when something on the command line is
    /// wrong, else 1.
    pub exit_code: u8,
}

/// All that a configuration is loaded from, but for the files: it is kept, so
/// that a reload reads the same again.
#[derive(Clone)]
pub struct Sources {
    /// The arguments after the sub-command.
    pub arguments: Vec<String>,
    /// All names and values of the environment.
    pub environment: Vec<(String, String)>,
    /// Lists the interfaces of the host. It is asked at each load in which a
    /// template is, such as `{{ GetPrivateIP }}`.
    pub interfaces: fn() -> io::Result<Interfaces>,
}

impl Sources {
    /// Loads the configuration; see [`load`].
    ///
    /// # Errors
    /// All problems at once, not only the first one.
    pub fn load(&self, read_file: ReadFile<'_>) -> Result<Loaded, LoadError> {
        load_on(&self.arguments, &self.environment, read_file, &self.interfaces)
    }

    /// The path of the properties file, with the environment put in; `None`
    /// where there is none.
    pub fn path(&self) -> Option<String> {
        let line = command_line::parse(&self.arguments, &mut Report::default());
        let mut expander = Expander::new(std::iter::empty(), &self.environment);
        expander.expand("", &line.path?).ok()
    }
}

/// Neither flags nor the environment are printed: there may be secrets in them.
impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("arguments", &self.arguments.len()).finish_non_exhaustive()
    }
}

/// Loads the configuration on a host of which nothing is known: templates in
/// addresses are errors. See [`Sources::load`].
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
    let unknown = || Err(io::Error::from(io::ErrorKind::Unsupported));
    load_on(arguments, environment, read_file, &unknown)
}

fn load_on(
    arguments: &[String],
    environment: &[(String, String)],
    read_file: ReadFile<'_>,
    interfaces: ListInterfaces<'_>,
) -> Result<Loaded, LoadError> {
    let mut report = Report::default();
    let line = command_line::parse(arguments, &mut report);
    let file = properties_file(&line, environment, read_file, &mut report);
    if report.has_errors() {
        // Without all flags and the file, what is said of the rest is noise.
        return Err(load_error(report, String::new()));
    }
    let file = file.as_ref().map(|(path, text)| File { path, text });
    let settings = settings::merge(&line, environment, file, &mut report);
    let config = build(&settings, &mut report, read_file, interfaces);
    if config.watch && line.path.is_none() {
        report.warn(&Source::Default, "config.watch has no effect without -cfg FILE");
    }
    if report.has_errors() {
        return Err(load_error(report, config.registry.static_routes().to_string()));
    }
    let effective = Effective::new(&settings, &config, report.notes());
    let (_, warnings) = report.finish();
    Ok(Loaded { config, warnings, effective })
}

fn load_error(report: Report, static_routes: String) -> LoadError {
    let exit_code = if report.flag_error() { 2 } else { 1 };
    let (errors, warnings) = report.finish();
    LoadError { errors, warnings, static_routes, exit_code }
}

/// The path and text of the properties file, where there is one.
fn properties_file(
    line: &CommandLine,
    environment: &[(String, String)],
    read_file: ReadFile<'_>,
    report: &mut Report,
) -> Option<(String, String)> {
    let written = line.path.as_deref()?;
    let mut expander = Expander::new(std::iter::empty(), environment);
    let path = match expander.expand("", written) {
        Ok(path) => path,
        Err(text) => {
            report.command_line(&format!("flag -cfg: {text}"));
            return None;
        }
    };
    if let Some(name) = expander.unknown.first() {
        report.command_line(&format!("flag -cfg: there is no environment variable {name}"));
        return None;
    }
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
fn build(
    settings: &Settings,
    report: &mut Report,
    read_file: ReadFile<'_>,
    interfaces: ListInterfaces<'_>,
) -> Config {
    let mut reader = Reader { settings, report };
    let bgp = bgp::read(&mut reader, read_file);
    let proxy = proxy(&mut reader, bgp.enabled, interfaces);
    let log = LogConfig { level: log_level(&mut reader), access: access_log(&mut reader) };
    let registry = registry(&mut reader);
    let health = health::read(&mut reader);
    let ui = ui::read(&mut reader, &proxy.listeners, read_file, interfaces);
    let watch = reader.boolean("config.watch");
    let config = Config { proxy, log, registry, health, bgp, ui, watch };
    warn_of_silence(&config, &mut reader);
    deprefer_rules::check(&config, &mut reader);
    config
}

fn proxy(
    reader: &mut Reader<'_>,
    bgp_enabled: bool,
    interfaces: ListInterfaces<'_>,
) -> ProxyConfig {
    let read_timeout = reader.duration("proxy.readtimeout");
    let write_timeout = reader.duration("proxy.writetimeout");
    let listeners = listeners::read(reader, read_timeout, write_timeout, interfaces);
    let strategy = reader.parse("proxy.strategy", |text| match text {
        "rnd" => Ok(Strategy::Random),
        "rr" => Ok(Strategy::RoundRobin),
        "least" => Ok(Strategy::Least),
        "hash" => Ok(Strategy::Hash),
        _ => Err("expected rnd, rr, least or hash".to_string()),
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
        source_limit: reader.number("proxy.sourcelimit", 0..=u32::MAX),
        source_prefix4: bits(reader, "proxy.sourceprefix4", 32),
        source_prefix6: bits(reader, "proxy.sourceprefix6", 128),
        service_limit: reader.number("proxy.servicelimit", 0..=u32::MAX),
        half_closed_timeout: reader.duration("proxy.halfclosedtimeout"),
        removed_targets: reader
            .parse("proxy.removedtargets", removed_targets)
            .unwrap_or(RemovedTargets::Drain),
        shutdown_wait: reader.duration("proxy.shutdownwait"),
        deregister_grace_period: grace.unwrap_or_default(),
    }
}

/// The length of a prefix, of at least one bit.
fn bits(reader: &mut Reader<'_>, key: &str, most: u8) -> u8 {
    u8::try_from(reader.number(key, 1..=u32::from(most))).unwrap_or(most)
}

fn removed_targets(text: &str) -> Result<RemovedTargets, String> {
    match text {
        "drain" => Ok(RemovedTargets::Drain),
        "cut" => Ok(RemovedTargets::CutAfter(Duration::ZERO)),
        text => duration::parse(text)
            .map(RemovedTargets::CutAfter)
            .map_err(|what| format!("expected drain or cut, or else: {what}")),
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

fn access_log(reader: &mut Reader<'_>) -> AccessLogConfig {
    let target = reader.parse("log.access.target", |text| match text {
        "" => Ok(None),
        "stdout" => Ok(Some(AccessLogTarget::Stdout)),
        _ => Err("expected stdout, or nothing".to_string()),
    });
    let format = reader.text("log.access.format").to_string();
    if format.is_empty() && target.flatten().is_some() {
        reader.parse("log.access.format", |_| Err::<(), String>("expected a format".to_string()));
    }
    AccessLogConfig { target: target.flatten(), format }
}

fn registry(reader: &mut Reader<'_>) -> RegistryConfig {
    const SHORTEST_POLL: Duration = Duration::from_millis(100);
    let is_file = reader.parse("registry.backend", |text| match text {
        "static" => Ok(false),
        "file" => Ok(true),
        "consul" | "custom" => Err(format!(
            "the {text} backend is not supported yet; write static, and the routes in \
             registry.static.routes, or file"
        )),
        _ => Err("expected static or file".to_string()),
    });
    let poll_interval = reader.parse("registry.file.pollinterval", |text| {
        let interval = duration::parse(text)?;
        match interval.is_zero() || interval >= SHORTEST_POLL {
            true => Ok(interval),
            false => Err("expected 0, or a duration of at least 100ms".to_string()),
        }
    });
    let path = reader.text("registry.file.path").to_string();
    let routes = reader.text("registry.static.routes").to_string();
    let backend = match is_file {
        Some(true) => {
            if path.is_empty() {
                let what = "registry.backend is file, so the file with the routes is needed";
                reader.parse("registry.file.path", |_| Err::<(), String>(what.to_string()));
            }
            if !routes.is_empty() {
                warn_of_other_backend(reader, "registry.static.routes", "file");
            }
            Backend::File { path, poll_interval: poll_interval.unwrap_or_default() }
        }
        chosen => {
            if !path.is_empty() && chosen.is_some() {
                warn_of_other_backend(reader, "registry.file.path", "static");
            }
            Backend::Static { routes }
        }
    };
    let is_static = matches!(backend, Backend::Static { .. });
    let (stale_after, withdraw_when_stale) = staleness(reader, is_static);
    RegistryConfig { backend, stale_after, withdraw_when_stale }
}

/// `registry.staleafter` and `registry.whenstale`.
fn staleness(reader: &mut Reader<'_>, is_static: bool) -> (Duration, bool) {
    const AFTER: &str = "registry.staleafter";
    const THEN: &str = "registry.whenstale";
    let after = reader.parse(AFTER, duration::parse);
    let withdraw = reader.parse(THEN, |text| match text {
        "deprefer" => Ok(false),
        "withdraw" => Ok(true),
        _ => Err("expected deprefer or withdraw".to_owned()),
    });
    if let Some(setting) = reader.setting(AFTER)
        && is_static
        && after.is_some_and(|after| !after.is_zero())
    {
        reader.warn(setting, "it has no effect: registry.backend is static, which is never stale");
    }
    if let Some(setting) = reader.setting(THEN)
        && withdraw == Some(true)
        && after.is_some_and(|after| after.is_zero())
    {
        reader.warn(setting, "it has no effect while registry.staleafter is 0");
    }
    (after.unwrap_or_default(), withdraw.unwrap_or_default())
}

fn warn_of_other_backend(reader: &mut Reader<'_>, key: &str, backend: &str) {
    if let Some(setting) = reader.setting(key) {
        let text = format!("{key} has no effect: registry.backend is {backend}");
        reader.report.warn(&setting.source, &text);
    }
}

/// A configuration that will do nothing is most likely not what was meant.
fn warn_of_silence(config: &Config, reader: &mut Reader<'_>) {
    // An error in proxy.addr leaves the list empty too, and is enough.
    if super::kv_list::parse(reader.text("proxy.addr")) != Ok(Vec::new()) {
        return;
    }
    if !config.bgp.enabled {
        let text = "proxy.addr is empty and bgp.enabled is false: there is nothing to do; give a file with \
                    -cfg FILE";
        reader.report.warn(&Source::Default, text);
    } else if config.bgp.announce == super::AnnouncePolicy::Ready {
        let text = "proxy.addr is empty and bgp.announce is ready: nothing will ever be announced";
        reader.report.warn(&Source::Default, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, load_file, loaded, on_a_host};
    use super::super::{AnnouncePolicy, HealthConfig};
    use super::*;
    use crate::reactor::random::Random;

    fn with_arguments(arguments: &[&str]) -> Result<Loaded, LoadError> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_string()).collect();
        let environment = [("DIR".to_string(), "etc".to_string())];
        load(&arguments, &environment, &|path| match path {
            "etc/good" => Ok(b"proxy.strategy=rr".to_vec()),
            "latin1" => Ok(b"# one\nui.title = \xe4".to_vec()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        })
    }

    #[test]
    fn nothing_is_a_valid_configuration() {
        let loaded = with_arguments(&[]).unwrap();
        assert_eq!(
            loaded.warnings,
            [
                "proxy.addr is empty and bgp.enabled is false: there is nothing to do; give a file with \
                    -cfg FILE"
            ]
        );
        let config = loaded.config;
        assert_eq!(
            config.proxy,
            ProxyConfig {
                listeners: Vec::new(),
                strategy: Strategy::Random,
                dial_timeout: Duration::from_secs(30),
                idle_timeout: Duration::ZERO,
                connection_limit: 0,
                source_limit: 0,
                source_prefix4: 32,
                source_prefix6: 64,
                service_limit: 0,
                half_closed_timeout: Duration::ZERO,
                removed_targets: RemovedTargets::Drain,
                shutdown_wait: Duration::ZERO,
                deregister_grace_period: Duration::ZERO,
            }
        );
        assert_eq!(config.log.level, log::LevelFilter::Info);
        let access = AccessLogConfig { target: None, format: "common".into() };
        assert_eq!(config.log.access, access);
        assert_eq!(config.registry.static_routes(), "");
        assert_eq!(
            config.health,
            HealthConfig {
                check: "tcp".into(),
                interval: Duration::from_secs(2),
                fast_interval: Duration::from_millis(500),
                timeout: Duration::from_secs(1),
                rise: 2,
                fall: 2,
                eject_after: 3,
                eject_time: Duration::from_secs(10),
                eject_max_time: Duration::from_secs(300),
                eject_limit: 50,
                when_none_all: false,
            }
        );
        assert_eq!(config.bgp.announce, AnnouncePolicy::Ready);
    }

    #[test]
    fn every_value_reaches_its_field() {
        let config = loaded(
            "proxy.strategy=rr\nproxy.dialtimeout=1s\nproxy.idletimeout=2s\n\
             proxy.connectionlimit=3\nproxy.sourcelimit=8\nproxy.sourceprefix4=24\n\
             proxy.sourceprefix6=56\nproxy.servicelimit=9\nproxy.halfclosedtimeout=10s\n\
             proxy.removedtargets=11s\nproxy.shutdownwait=4s\nproxy.deregistergraceperiod=5s\n\
             log.level=fatal\nlog.access.target=stdout\nlog.access.format=$client\nregistry.backend=static\n\
             registry.static.routes=route add a :80 tcp://192.0.2.1:1\\n# ${dc}\ndc=fra1\n\
             health.interval=12ms\nhealth.timeout=1ns\nhealth.rise=6\nhealth.fall=7\n\
             health.check=none\nhealth.fastinterval=11ms\nhealth.ejectafter=13\n\
             health.ejecttime=14s\nhealth.ejectmaxtime=15s\nhealth.ejectlimit=16\n\
             health.whennone=all",
        )
        .config;
        assert_eq!(
            config.proxy,
            ProxyConfig {
                listeners: Vec::new(),
                strategy: Strategy::RoundRobin,
                dial_timeout: Duration::from_secs(1),
                idle_timeout: Duration::from_secs(2),
                connection_limit: 3,
                source_limit: 8,
                source_prefix4: 24,
                source_prefix6: 56,
                service_limit: 9,
                half_closed_timeout: Duration::from_secs(10),
                removed_targets: RemovedTargets::CutAfter(Duration::from_secs(11)),
                shutdown_wait: Duration::from_secs(4),
                deregister_grace_period: Duration::from_secs(5),
            }
        );
        assert_eq!(config.log.level, log::LevelFilter::Error);
        let access =
            AccessLogConfig { target: Some(AccessLogTarget::Stdout), format: "$client".into() };
        assert_eq!(config.log.access, access);
        assert_eq!(config.registry.static_routes(), "route add a :80 tcp://192.0.2.1:1\n# fra1");
        let health = HealthConfig {
            check: "none".into(),
            interval: Duration::from_millis(12),
            fast_interval: Duration::from_millis(11),
            timeout: Duration::from_nanos(1),
            rise: 6,
            fall: 7,
            eject_after: 13,
            eject_time: Duration::from_secs(14),
            eject_max_time: Duration::from_secs(15),
            eject_limit: 16,
            when_none_all: true,
        };
        assert_eq!(config.health, health);
    }

    #[test]
    fn targets_that_leave() {
        let read = |text: &str| {
            loaded(&format!("proxy.removedtargets={text}")).config.proxy.removed_targets
        };
        assert_eq!(read("drain"), RemovedTargets::Drain);
        for text in ["cut", "0", "0s"] {
            assert_eq!(read(text), RemovedTargets::CutAfter(Duration::ZERO));
        }
        assert_eq!(read("1m"), RemovedTargets::CutAfter(Duration::from_secs(60)));
        assert_eq!(
            errors("proxy.removedtargets=keep"),
            ["f:1: proxy.removedtargets = \"keep\": expected drain or cut, or else: expected a \
              duration such as 30s or 1m30s"]
        );
    }

    #[test]
    fn the_length_of_a_source() {
        let range = "expected a whole number from 1 to";
        for (text, most) in [
            ("proxy.sourceprefix4 = \"0\"", 32),
            ("proxy.sourceprefix4 = \"33\"", 32),
            ("proxy.sourceprefix6 = \"129\"", 128),
        ] {
            let error = format!("f:1: {text}: {range} {most}");
            assert_eq!(errors(&text.replace('"', "")), [error]);
        }
        let config = loaded("proxy.sourceprefix6=128").config;
        assert_eq!(config.proxy.source_prefix6, 128);
    }

    #[test]
    fn the_access_log() {
        assert_eq!(
            errors("log.access.target=stderr"),
            ["f:1: log.access.target = \"stderr\": expected stdout, or nothing"]
        );
        assert_eq!(
            errors("log.access.target=stdout\nlog.access.format="),
            ["f:2: log.access.format = \"\": expected a format"]
        );
        assert!(errors("log.access.format=").is_empty());
    }

    #[test]
    fn routes_come_from_the_configuration_or_from_a_file() {
        let read = |text: &str| {
            let loaded = loaded(text);
            let told: Vec<String> =
                loaded.warnings.into_iter().filter(|text| text.starts_with("f:")).collect();
            (loaded.config.registry.backend, told)
        };
        let file = |millis| Backend::File {
            path: "/etc/routes".into(),
            poll_interval: Duration::from_millis(millis),
        };
        let text = "registry.backend=file\nregistry.file.path=/etc/routes\n";
        assert_eq!(read(text), (file(0), vec![]));
        let (backend, told) = read(&format!("{text}registry.file.pollinterval=100ms"));
        assert_eq!((backend, told), (file(100), vec![]));
        let (_, told) = read(&format!("{text}registry.static.routes=x"));
        assert_eq!(told, ["f:3: registry.static.routes has no effect: registry.backend is file"]);
        let (backend, told) = read("registry.file.path=/etc/routes\nregistry.static.routes=x");
        assert_eq!(backend, Backend::Static { routes: "x".into() });
        assert_eq!(told, ["f:1: registry.file.path has no effect: registry.backend is static"]);
        assert_eq!(
            errors("registry.backend=file"),
            ["registry.file.path: registry.backend is file, so the file with the routes is needed"]
        );
        assert_eq!(
            errors("registry.file.pollinterval=1ms"),
            ["f:1: registry.file.pollinterval = \"1ms\": expected 0, or a duration of at least \
              100ms"]
        );
    }

    #[test]
    fn routes_that_are_stale() {
        let read = |text: &str| {
            let loaded = loaded(text);
            let registry = loaded.config.registry;
            let told: Vec<String> =
                loaded.warnings.into_iter().filter(|text| text.starts_with("f:")).collect();
            (registry.stale_after.as_secs(), registry.withdraw_when_stale, told)
        };
        assert_eq!(read(""), (0, false, vec![]));
        let file = "registry.backend=file\nregistry.file.path=r\n";
        let both = format!("{file}registry.staleafter=1m\nregistry.whenstale=withdraw");
        assert_eq!(read(&both), (60, true, vec![]));
        assert_eq!(
            read("registry.staleafter=1m").2,
            ["f:1: registry.staleafter = \"1m\": it has no effect: registry.backend is static, \
              which is never stale"]
        );
        assert_eq!(
            read(&format!("{file}registry.whenstale=withdraw")).2,
            ["f:3: registry.whenstale = \"withdraw\": it has no effect while registry.staleafter \
              is 0"]
        );
        assert_eq!(
            errors("registry.whenstale=keep"),
            ["f:1: registry.whenstale = \"keep\": expected deprefer or withdraw"]
        );
    }

    #[test]
    fn log_levels() {
        use log::LevelFilter::{Debug, Error, Info, Trace, Warn};
        let golden = [
            ("TRACE", Trace),
            ("debug", Debug),
            ("Info", Info),
            ("WARN", Warn),
            ("ERROR", Error),
            ("FATAL", Error),
        ];
        for (text, level) in golden {
            assert_eq!(loaded(&format!("log.level={text}")).config.log.level, level);
        }
        assert_eq!(errors("log.level=WARNING").len(), 1);
    }

    #[test]
    fn all_errors_are_reported_in_the_order_of_the_file() {
        let text = "health.fall=0\nhealth.rise=-1\nhealth.timeout=0\nhealth.interval=9ms\n\
                    registry.backend=consul\nlog.level=x\nproxy.deregistergraceperiod=2\n\
                    proxy.connectionlimit=4294967296\nproxy.dialtimeout=0\nproxy.strategy=RR\n\
                    registry.backend=etcd";
        let unit = "expected a duration such as 30s or 1m30s (the unit is missing)";
        assert_eq!(
            errors(text),
            [
                "f:1: health.fall = \"0\": expected a whole number from 1 to 4294967295",
                "f:2: health.rise = \"-1\": expected a whole number from 1 to 4294967295",
                "f:3: health.timeout = \"0\": expected a duration of more than 0",
                "f:4: health.interval = \"9ms\": expected a duration of at least 10ms",
                "f:6: log.level = \"x\": expected TRACE, DEBUG, INFO, WARN, ERROR or FATAL",
                &format!("f:7: proxy.deregistergraceperiod = \"2\": {unit}"),
                "f:8: proxy.connectionlimit = \"4294967296\": expected a whole number from 0 to \
                 4294967295",
                "f:9: proxy.dialtimeout = \"0\": expected a duration of more than 0",
                "f:10: proxy.strategy = \"RR\": expected rnd, rr, least or hash",
                "f:11: registry.backend = \"etcd\": expected static or file",
            ]
        );
        assert_eq!(
            errors("registry.backend=consul"),
            ["f:1: registry.backend = \"consul\": the consul backend is not supported yet; write \
              static, and the routes in registry.static.routes, or file"]
        );
    }

    #[test]
    fn exit_codes() {
        let code = |arguments: &[&str]| with_arguments(arguments).unwrap_err().exit_code;
        assert_eq!(code(&["-weather"]), 2);
        assert_eq!(code(&["-health.rise=x"]), 2);
        assert_eq!(code(&["-cfg=latin1"]), 1);
        assert_eq!(code(&["-cfg=nowhere"]), 1);
        assert_eq!(load_file("health.rise=x").unwrap_err().exit_code, 1);
    }

    #[test]
    fn the_file() {
        let loaded = with_arguments(&["-cfg=${DIR}/good"]).unwrap();
        assert_eq!(loaded.config.proxy.strategy, Strategy::RoundRobin);
        let golden = [
            ("nowhere", "nowhere: cannot be read: entity not found"),
            ("latin1", "latin1:2: the file is not UTF-8"),
            ("${NO}/x", "flag -cfg: there is no environment variable NO"),
            ("${NO", "flag -cfg: a \"${\" without a \"}\" after it"),
            (
                "https://example.net/x",
                "flag -cfg: a configuration from a URL is not supported; give a file",
            ),
        ];
        for (path, error) in golden {
            assert_eq!(with_arguments(&["-cfg", path]).unwrap_err().errors, [error]);
        }
    }

    #[test]
    fn a_configuration_that_does_nothing_is_questionable() {
        let bgp = "bgp.enabled=true\nbgp.routerid=198.51.100.1\n\
                   bgp.anycastaddresses=192.0.2.53/32\nbgp.peers=address=198.51.100.2;asn=1\n";
        assert_eq!(
            loaded(bgp).warnings,
            ["proxy.addr is empty and bgp.announce is ready: nothing will ever be announced"]
        );
        let always = format!("{bgp}bgp.announce=always");
        assert_eq!(loaded(&always).warnings, Vec::<String>::new());
        let listener = format!("{bgp}proxy.addr=:80;proto=tcp");
        assert_eq!(loaded(&listener).warnings, Vec::<String>::new());
        let error = load_file("proxy.addr=:80").unwrap_err();
        assert_eq!((error.errors.len(), error.warnings), (1, vec![]));
    }

    #[test]
    fn what_cannot_be_expanded_is_one_error() {
        let bgp = "bgp.enabled=true\nbgp.routerid=198.51.100.1\n\
                   bgp.anycastaddresses=192.0.2.53/32\nlog.level=${\nhealth.rise=0\n\
                   bgp.peers=address=x;asn=${\n";
        assert_eq!(
            errors(bgp),
            [
                "f:4: log.level: a \"${\" without a \"}\" after it",
                "f:5: health.rise = \"0\": expected a whole number from 1 to 4294967295",
                "f:6: bgp.peers: a \"${\" without a \"}\" after it",
            ]
        );
    }

    /// Pieces of files, drawn by a generator with a fixed seed.
    struct Pieces(Random);

    impl Pieces {
        fn number(&mut self, below: usize) -> usize {
            self.0.index(below)
        }

        fn file(&mut self) -> String {
            let keys: Vec<_> = super::super::options::all().collect();
            let pieces = [
                "=",
                ";",
                ",",
                ":",
                " ",
                "\n",
                "\\",
                "\"",
                "'",
                "${",
                "}",
                "#",
                "\\u00e4",
                "\\ud83d",
                "0",
                "1",
                "30s",
                "-1",
                "true",
                "tcp",
                "proto=tcp",
                ":80;proto=tcp",
                "address=",
                "address=fe80::1%lo;asn=1",
                "prefix=",
                "prefix=10.1.0.0/16;asn=1",
                "name=a",
                "template=a",
                "192.0.2.1",
                "2001:db8::1",
                "/32",
                "asn=65001",
                "password=",
                "ttlsecurity=",
                "multihop=true",
                "source=",
                "holdtime=",
                "keepalive=",
                "rt=",
                ";pxyproto=true",
                ";pxyproto=strict;pxytrusted=10.0.0.0/8 ::1",
                ";connections=1",
                ":0;proto=tcp-dynamic",
                ":80;proto=tcp+sni;hellotimeout=30s",
                "file",
                "cut",
                "{{",
                "}}",
                "{{ GetPrivateIP }}:81;proto=tcp",
                ";freebind=true",
                ";service=web api",
                ";minhealthy=50%",
                ";whenempty=deprefer;depreferbelow=2",
                "127.0.0.1:9999",
                "http:/healthz",
                "/metrics",
                " GetInterfaceIP `eth0` ",
                "\u{e4}",
                "\u{1}",
            ];
            let mut text = String::new();
            for _ in 0..self.number(12) {
                text.push_str(keys[self.number(keys.len())].key);
                text.push('=');
                for _ in 0..self.number(8) {
                    text.push_str(pieces[self.number(pieces.len())]);
                }
                text.push('\n');
            }
            text
        }
    }

    #[test]
    fn any_file_is_refused_or_printed_such_that_it_reads_the_same() {
        let mut pieces = Pieces(Random::new(1));
        let mut valid = 0;
        for _ in 0..3000 {
            let text = pieces.file();
            let Ok(loaded) = on_a_host(&text) else { continue };
            let printed = loaded.effective.to_string();
            if printed.contains("password=***") || printed.contains("ui.password = ***") {
                continue;
            }
            valid += 1;
            let again = on_a_host(&printed).map(|loaded| loaded.config);
            assert_eq!(again.ok().as_ref(), Some(&loaded.config), "{text}\n{printed}");
        }
        assert!(valid > 300, "{valid}");
    }

    #[test]
    fn the_grace_period_depends_on_bgp() {
        let bgp = "bgp.enabled=true\nbgp.routerid=198.51.100.1\n\
                   bgp.anycastaddresses=192.0.2.53/32\nbgp.peers=address=198.51.100.2;asn=1\n";
        let grace = |text: &str| loaded(text).config.proxy.deregister_grace_period;
        assert_eq!(grace(bgp), Duration::from_secs(2));
        assert_eq!(grace(&format!("{bgp}proxy.deregistergraceperiod=0")), Duration::ZERO);
        assert_eq!(grace(""), Duration::ZERO);
    }
}
