//! The merge: for each key the value that counts, and where it was set.
//!
//! Highest first and key by key, as in fabio: command line, environment with
//! the prefix `FABIO_`, environment without it, properties file, default.

use std::collections::{BTreeMap, HashMap};

use super::command_line::CommandLine;
use super::expansion::Expander;
use super::nearest::nearest;
use super::options::{self, Kind, Spec, Support};
use super::report::{Report, Source};
use super::{properties, values};

const PREFIX: &str = "FABIO_";

/// The value of one key.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) spec: &'static Spec,
    pub(super) value: String,
    pub(super) source: Source,
    /// Whether an error was reported about how it is written. What is wrong
    /// with its value is of no interest then.
    pub(super) broken: bool,
}

/// The value of every key of the table, in the order of the table.
pub(super) struct Settings(Vec<Setting>);

impl Setting {
    /// Whether anybody set it.
    pub(super) fn is_set(&self) -> bool {
        self.source != Source::Default
    }
}

impl Settings {
    /// The setting of a key of the table.
    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.spec.key == key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }
}

/// A properties file: its path as it was given, and its text.
pub(super) struct File<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
}

/// Merges all sources. Reports what cannot be read in them, what nobody knows
/// and what has no effect.
pub(super) fn merge(
    line: &CommandLine,
    environment: &[(String, String)],
    file: Option<File<'_>>,
    report: &mut Report,
) -> Settings {
    let variables = Variables::new(environment);
    let entries = match &file {
        Some(file) => read_file(file, environment, report),
        None => BTreeMap::new(),
    };
    variables.warn_of_strays(report);
    let written = |name: &'static str| {
        let from_flag = || {
            let (_, value) = line.flags.iter().rev().find(|(key, _)| *key == name)?;
            Some((value.clone(), Source::Flag(name), false))
        };
        let from_environment = || {
            let (variable, value) = variables.of(name)?;
            Some((value.to_string(), Source::Environment(variable.to_string()), false))
        };
        from_flag().or_else(from_environment).or_else(|| entries.get(name).cloned())
    };
    let mut settings = Vec::new();
    for spec in options::all() {
        let found = written(spec.key).or_else(|| by_alias(spec, &written, report));
        let default = || (spec.default.to_string(), Source::Default, false);
        let (value, source, broken) = found.unwrap_or_else(default);
        settings.push(Setting { spec, value, source, broken });
    }
    let settings = Settings(settings);
    for setting in settings.iter() {
        warn_of_idle_aliases(setting, &written, report);
        warn_of_no_effect(setting, report);
    }
    settings
}

/// A value, where it was set, and whether an error was reported about how it is
/// written.
type Written = (String, Source, bool);

/// What is written for the aliases of a key, where the key itself is nowhere.
fn by_alias(
    spec: &'static Spec,
    written: &impl Fn(&'static str) -> Option<Written>,
    report: &mut Report,
) -> Option<Written> {
    let of = |alias: &&'static str| Some((*alias, written(alias)?));
    let (alias, found) = spec.aliases.iter().find_map(of)?;
    let text = format!("{alias} is taken for {}, which is the name of the key", spec.key);
    report.warn(&found.1, &text);
    Some(found)
}

/// Names the aliases beside their key, which goes before.
fn warn_of_idle_aliases(
    setting: &Setting,
    written: &impl Fn(&'static str) -> Option<Written>,
    report: &mut Report,
) {
    for alias in setting.spec.aliases {
        match written(alias) {
            Some((_, source, _)) if source != setting.source => {
                let text = format!("{alias} has no effect: {} is set too", setting.spec.key);
                report.warn(&source, &text);
            }
            Some(_) | None => {}
        }
    }
}

/// A setting that asks for nothing, as `bgp.enablegrpc = false`, gets what it
/// asks for.
fn warn_of_no_effect(setting: &Setting, report: &mut Report) {
    let off = setting.spec.kind == Kind::Boolean && values::boolean(&setting.value) == Ok(false);
    if !setting.is_set() || setting.value.is_empty() || off {
        return;
    }
    let key = setting.spec.key;
    match setting.spec.support {
        Support::Supported => {}
        Support::NotYet | Support::Refused => {
            let text = format!("{key} is known from fabio but not supported yet; it has no effect");
            report.warn(&setting.source, &text);
        }
        Support::Ignored(why) => {
            report.warn(&setting.source, &format!("{key} has no effect: {why}"));
        }
    }
}

/// Environment variables by their names in upper case.
struct Variables<'a> {
    by_name: BTreeMap<String, (&'a str, &'a str)>,
}

impl<'a> Variables<'a> {
    fn new(environment: &'a [(String, String)]) -> Variables<'a> {
        let mut by_name: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        for (name, value) in environment {
            let upper = name.to_uppercase();
            // Of two names that differ in case, the usual one counts.
            let usual_is_there = by_name.get(&upper).is_some_and(|(name, _)| *name == upper);
            if !usual_is_there || *name == upper {
                by_name.insert(upper, (name, value));
            }
        }
        Variables { by_name }
    }

    /// The name and value of the variable that sets a key, or an alias.
    fn of(&self, key: &str) -> Option<(&'a str, &'a str)> {
        let bare = variable_name(key);
        let prefixed = self.by_name.get(&format!("{PREFIX}{bare}"));
        prefixed.or_else(|| self.by_name.get(&bare)).copied()
    }

    fn warn_of_strays(&self, report: &mut Report) {
        let keys = options::all().flat_map(|spec| spec.aliases.iter().chain([&spec.key]));
        let names: Vec<String> =
            keys.map(|key| format!("{PREFIX}{}", variable_name(key))).collect();
        for (upper, (name, _)) in &self.by_name {
            if !upper.starts_with(PREFIX) || names.contains(upper) {
                continue;
            }
            let hint = match nearest(upper, names.iter().map(String::as_str)) {
                Some(known) => format!("; did you mean {known}?"),
                None => String::new(),
            };
            let source = Source::Environment((*name).to_string());
            report.warn(&source, &format!("it belongs to no key{hint}"));
        }
    }
}

fn variable_name(key: &str) -> String {
    key.replace('.', "_").to_uppercase()
}

/// Reads the entries of a file with `${}` expanded: by key the value, the
/// place, and whether it could not be expanded. Of two with one key the last
/// one counts.
fn read_file(
    file: &File<'_>,
    environment: &[(String, String)],
    report: &mut Report,
) -> BTreeMap<String, Written> {
    let at = |line: usize| Source::File { path: file.path.to_string(), line };
    let (entries, errors) = properties::parse(file.text);
    for error in errors {
        report.error(&at(error.line), error.text);
    }
    let mut lines: HashMap<&str, usize> = HashMap::new();
    for entry in &entries {
        if let Some(before) = lines.insert(&entry.key, entry.line) {
            let text = format!("{} is set again; its value of line {before} is lost", entry.key);
            report.warn(&at(entry.line), &text);
        }
    }
    let names = entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()));
    let mut expander = Expander::new(names, environment);
    let mut expanded = BTreeMap::new();
    let last = entries.iter().filter(|entry| lines.get(&*entry.key) == Some(&entry.line));
    for entry in last.clone() {
        let source = at(entry.line);
        match expander.expand(&entry.key, &entry.value) {
            Ok(value) => {
                warn_of_nothing(&entry.key, &expander, &source, report);
                expanded.insert(entry.key.clone(), (value, source, false));
            }
            Err(text) => {
                report.error(&source, &format!("{}: {text}", entry.key));
                expanded.insert(entry.key.clone(), (entry.value.clone(), source, true));
            }
        }
    }
    for entry in last {
        // A key that others name in `${}` is a variable of the file.
        if options::find_name(&entry.key).is_none() && !expander.used.contains(&entry.key) {
            report.warn(&at(entry.line), &unknown_key(&entry.key));
        }
    }
    expanded
}

fn unknown_key(key: &str) -> String {
    if key.starts_with("tracing.") {
        return format!("{key} has no effect: fabio has no tracing since its version 1.7.0");
    }
    match options::nearest(key) {
        Some(known) => format!("unknown key {key:?}; did you mean {known:?}?"),
        None => format!("unknown key {key:?}; it has no effect"),
    }
}

/// Warns of names in `${}` that stand for nothing. The name is not said where
/// it may be a part of a secret.
fn warn_of_nothing(key: &str, expander: &Expander<'_>, source: &Source, report: &mut Report) {
    let secret = options::find_name(key).is_some_and(|(spec, _)| spec.holds_secrets());
    for name in &expander.unknown {
        let name = if secret { "..." } else { name };
        let text = format!(
            "{key}: ${{{name}}} is neither a key of this file nor an environment variable; it \
             stands for nothing"
        );
        report.warn(source, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags, environment, file → value and source of `key`, errors, warnings.
    struct Merged {
        settings: Settings,
        errors: Vec<String>,
        warnings: Vec<String>,
    }

    fn merged(
        flags: &[(&'static str, &str)],
        environment: &[(&str, &str)],
        text: Option<&str>,
    ) -> Merged {
        let own = |text: &str| text.to_string();
        let line = CommandLine {
            flags: flags.iter().map(|(key, value)| (*key, own(value))).collect(),
            path: None,
        };
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| (own(name), own(value))).collect();
        let mut report = Report::default();
        let file = text.map(|text| File { path: "f", text });
        let settings = merge(&line, &environment, file, &mut report);
        let (errors, warnings) = report.finish();
        Merged { settings, errors, warnings }
    }

    impl Merged {
        fn get(&self, key: &str) -> (&str, String) {
            let setting = self.settings.get(key).unwrap();
            (&setting.value, setting.source.to_string())
        }
    }

    #[test]
    fn precedence_key_by_key() {
        let key = "proxy.strategy";
        let file = Some("proxy.strategy = file\nlog.level=WARN");
        let prefixed = ("FABIO_PROXY_STRATEGY", "prefixed");
        let bare = ("PROXY_STRATEGY", "bare");
        let all = merged(&[(key, "0"), (key, "flag")], &[bare, prefixed], file);
        assert_eq!(all.get(key), ("flag", "flag -proxy.strategy".into()));
        assert_eq!(all.get("log.level"), ("WARN", "f:2".into()));
        assert_eq!(all.get("proxy.dialtimeout"), ("30s", "default".into()));
        let some = merged(&[], &[bare, prefixed], file);
        let name = "environment variable FABIO_PROXY_STRATEGY";
        assert_eq!(some.get(key), ("prefixed", name.into()));
        let some = merged(&[], &[bare], file);
        assert_eq!(some.get(key), ("bare", "environment variable PROXY_STRATEGY".into()));
        assert_eq!(merged(&[], &[], file).get(key), ("file", "f:1".into()));
        assert_eq!(merged(&[], &[], None).get(key), ("rnd", "default".into()));
        assert!(some.errors.is_empty() && some.warnings.is_empty());
    }

    #[test]
    fn variables_are_compared_without_case_and_may_be_empty() {
        let variable = ("Fabio_Proxy_Strategy", "x");
        let some = merged(&[], &[variable], None);
        assert_eq!(
            some.get("proxy.strategy"),
            ("x", "environment variable Fabio_Proxy_Strategy".into())
        );
        let usual = ("FABIO_PROXY_STRATEGY", "usual");
        for environment in [[variable, usual], [usual, variable]] {
            assert_eq!(merged(&[], &environment, None).get("proxy.strategy").0, "usual");
        }
        let name = "FABIO_REGISTRY_CONSUL_REGISTER_CHECKINTERVAL";
        let some = merged(&[], &[(name, "9s")], None);
        assert_eq!(some.get("registry.consul.register.checkInterval").0, "9s");
        let some = merged(&[], &[("PROXY_STRATEGY", "")], Some("proxy.strategy=rr"));
        assert_eq!(some.get("proxy.strategy").0, "");
    }

    #[test]
    fn strays_with_the_prefix_are_named() {
        let some =
            merged(&[], &[("FABIO_BGP_PERRS", "s3cret"), ("fabio_x", ""), ("BGP_PERRS", "")], None);
        assert_eq!(
            some.warnings,
            [
                "environment variable FABIO_BGP_PERRS: it belongs to no key; did you mean \
                 FABIO_BGP_PEERS?",
                "environment variable fabio_x: it belongs to no key",
            ]
        );
    }

    #[test]
    fn names_of_the_documentation_are_taken_for_their_keys() {
        let (key, alias) = ("registry.consul.pollinterval", "registry.consul.pollInterval");
        let file = Some("registry.consul.pollInterval=1s");
        let taken = "registry.consul.pollInterval is taken for registry.consul.pollinterval, which \
                     is the name of the key";
        let some = merged(&[], &[], file);
        assert_eq!(some.get(key), ("1s", "f:1".into()));
        assert_eq!(some.warnings[0], format!("f:1: {taken}"));
        let some = merged(&[(alias, "2s")], &[], file);
        assert_eq!(some.get(key), ("2s", format!("flag -{alias}")));
        assert_eq!(some.warnings[0], format!("flag -{alias}: {taken}"));
        // The variable of both is one.
        let some = merged(&[], &[("FABIO_REGISTRY_CONSUL_POLLINTERVAL", "3s")], None);
        assert_eq!(some.get(key).0, "3s");
        assert_eq!(some.warnings.len(), 1, "{:?}", some.warnings);
        let name = "FABIO_REGISTRY_STATIC_NOROUTEHTMLPATH";
        let some = merged(&[], &[(name, "x")], None);
        assert_eq!(some.get("registry.static.noroutehtml").0, "x");
    }

    #[test]
    fn a_key_goes_before_its_alias_wherever_it_is() {
        let (key, alias) = ("registry.consul.pollinterval", "registry.consul.pollInterval");
        let idle = format!("{alias} has no effect: {key} is set too");
        let some = merged(&[(alias, "2s")], &[], Some("registry.consul.pollinterval=1s"));
        assert_eq!(some.get(key), ("1s", "f:1".into()));
        assert_eq!(some.warnings[0], format!("flag -{alias}: {idle}"));
        let text = format!("{key}=1s\n{alias}=2s");
        let some = merged(&[], &[], Some(&text));
        assert_eq!(some.get(key).0, "1s");
        assert!(some.warnings.contains(&format!("f:2: {idle}")), "{:?}", some.warnings);
    }

    #[test]
    fn unknown_and_repeated_keys() {
        let some = merged(
            &[],
            &[],
            Some(
                "bgp.perrs=1\nweather=2\ntracing.ServiceName=3\ndc=4\nlog.level=${dc}\n\
                 log.level=${dc}",
            ),
        );
        assert_eq!(
            some.warnings,
            [
                "f:1: unknown key \"bgp.perrs\"; did you mean \"bgp.peers\"?",
                "f:2: unknown key \"weather\"; it has no effect",
                "f:3: tracing.ServiceName has no effect: fabio has no tracing since its version \
                 1.7.0",
                "f:6: log.level is set again; its value of line 5 is lost",
            ]
        );
        assert_eq!(some.get("log.level"), ("4", "f:6".into()));
    }

    #[test]
    fn expansion_reports() {
        let text = "log.level=${a}\nproxy.addr=${\nbgp.peers=password=x${cret}\nk=${k}";
        let some = merged(&[], &[], Some(text));
        assert_eq!(
            some.errors,
            [
                "f:2: proxy.addr: a \"${\" without a \"}\" after it",
                "f:4: k: ${} goes in a circle: k -> k",
            ]
        );
        let stands = "is neither a key of this file nor an environment variable; it stands for \
                      nothing";
        assert_eq!(
            some.warnings[..2],
            [
                format!("f:1: log.level: ${{a}} {stands}"),
                format!("f:3: bgp.peers: ${{...}} {stands}"),
            ]
        );
    }

    #[test]
    fn without_effect_unless_it_asks_for_nothing() {
        let text = "ui.color=red\nui.title=\nbgp.enablegrpc=false\nruntime.gogc=1\n\
                    registry.consul.token=s3cret\nbgp.grpctls=true";
        let some = merged(&[], &[], Some(text));
        assert_eq!(
            some.warnings,
            [
                "f:1: ui.color is known from fabio but not supported yet; it has no effect",
                "f:4: runtime.gogc has no effect: it is for the runtime of Go, in which fabio is \
                 written",
                "f:5: registry.consul.token is known from fabio but not supported yet; it has no \
                 effect",
                "f:6: bgp.grpctls is known from fabio but not supported yet; it has no effect",
            ]
        );
    }

    #[test]
    fn syntax_errors_have_their_line() {
        let some = merged(&[], &[], Some("log.level=WARN\n= x\nproxy.strategy=rr"));
        assert_eq!(some.errors, ["f:2: a value without a key"]);
        assert_eq!(some.get("proxy.strategy").0, "rr");
    }
}
