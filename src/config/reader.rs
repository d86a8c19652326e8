//! Values out of settings: each by the kind that the table gives its key, and
//! every bad one reported with its place.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::kv_list::{self, Map};
use super::options::{Kind, PairSpec, Support};
use super::report::{Report, Source, quoted};
use super::settings::{Setting, Settings};
use super::{duration, nearest, values};

/// Reads the settings of keys. After an error it goes on with a harmless
/// value, which is never used: a configuration with an error is dropped.
pub(super) struct Reader<'a> {
    pub(super) settings: &'a Settings,
    pub(super) report: &'a mut Report,
}

impl<'a> Reader<'a> {
    /// The setting of a key; an error where the table does not have it.
    pub(super) fn setting(&mut self, key: &str) -> Option<&'a Setting> {
        let setting = self.settings.get(key);
        if setting.is_none() {
            self.report.error(&Source::Default, &format!("{key} is missing in the table of keys"));
        }
        setting
    }

    pub(super) fn text(&mut self, key: &str) -> &'a str {
        self.setting(key).map_or("", |setting| &setting.value)
    }

    /// Reads with a function that gives a value, or says what was expected.
    pub(super) fn parse<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&'a str) -> Result<T, String>,
    ) -> Option<T> {
        let setting = self.setting(key)?;
        match parse(&setting.value) {
            Ok(value) => Some(value),
            Err(what) => {
                self.fail(setting, &what);
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, key: &str) -> bool {
        self.parse(key, values::boolean).unwrap_or_default()
    }

    pub(super) fn duration(&mut self, key: &str) -> Duration {
        self.parse(key, duration::parse).unwrap_or_default()
    }

    /// A duration of at least `least`.
    pub(super) fn duration_from(&mut self, key: &str, least: Duration) -> Duration {
        let parse = |text: &str| {
            let value = duration::parse(text)?;
            if value >= least {
                return Ok(value);
            }
            Err(match least.as_nanos() {
                1 => "expected a duration of more than 0".to_string(),
                _ => format!("expected a duration of at least {}", duration::print(least)),
            })
        };
        self.parse(key, parse).unwrap_or_default()
    }

    /// A whole number within a range; the end of the range after an error.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<u32>) -> u32 {
        let (least, most) = (*range.start(), *range.end());
        let parse = |text: &str| {
            let value = values::integer(text)?;
            u32::try_from(value)
                .ok()
                .filter(|value| range.contains(value))
                .ok_or_else(|| format!("expected a whole number from {least} to {most}"))
        };
        self.parse(key, parse).unwrap_or(most)
    }

    /// The maps of a kv-list. `None` after an error.
    pub(super) fn maps(&mut self, key: &str) -> Option<(&'a Setting, Vec<Map>)> {
        let setting = self.setting(key)?;
        match kv_list::parse(&setting.value) {
            Ok(maps) => Some((setting, maps)),
            Err(error) => {
                if !setting.broken {
                    let text = format!("{key}: character {}: {}", error.character, error.text);
                    self.report.error(&setting.source, &text);
                }
                None
            }
        }
    }

    /// An error about the value of a setting.
    pub(super) fn fail(&mut self, setting: &Setting, what: &str) {
        if setting.broken {
            return;
        }
        let hint = match setting.spec.kind {
            Kind::List | Kind::KvList => "",
            _ => hint_of_blanks(&setting.value),
        };
        self.report.error(&setting.source, &(about(setting, what) + hint));
    }

    /// An error about one map of a kv-list, which messages call `name`, once
    /// all keys have been read.
    pub(super) fn fail_at(&mut self, key: &str, name: &str, what: &str) {
        if let Some(setting) = self.setting(key).filter(|setting| !setting.broken) {
            self.report.error(&setting.source, &format!("{key}: {name}: {what}"));
        }
    }

    /// A warning about one map of a kv-list.
    pub(super) fn warn_at(&mut self, key: &str, name: &str, what: &str) {
        if let Some(setting) = self.setting(key).filter(|setting| !setting.broken) {
            self.report.warn(&setting.source, &format!("{key}: {name}: {what}"));
        }
    }

    /// A warning about the value of a setting.
    pub(super) fn warn(&mut self, setting: &Setting, what: &str) {
        if !setting.broken {
            self.report.warn(&setting.source, &about(setting, what));
        }
    }
}

/// Blanks at the end of a line count, as in fabio, and are not seen.
pub(super) fn hint_of_blanks(value: &str) -> &'static str {
    if value.trim() == value { "" } else { " (there is a blank before or after it)" }
}

/// `key = "value": what`, without the value where it holds a secret or nobody
/// wrote it.
fn about(setting: &Setting, what: &str) -> String {
    let key = setting.spec.key;
    if !setting.is_set() || setting.spec.holds_secrets() {
        return format!("{key}: {what}");
    }
    format!("{key} = {}: {what}", quoted(&setting.value))
}

/// One map of a kv-list: a listener or a neighbour.
pub(super) struct Item<'a> {
    pub(super) setting: &'a Setting,
    /// What messages call it: `listener :80`, `peer 2`.
    pub(super) name: String,
    pub(super) map: &'a Map,
    /// The options that it has unless its map has them: those of its template,
    /// where what is wrong with their values is reported.
    pub(super) base: Option<&'a Map>,
    /// Whether it has more options than can be seen here: a template, whose
    /// options are joined with others', or one whose template is not there.
    /// Whether its options are enough and go together is then not asked.
    pub(super) is_partial: bool,
}

impl<'a> Item<'a> {
    pub(super) fn new(setting: &'a Setting, name: String, map: &'a Map) -> Item<'a> {
        Item { setting, name, map, base: None, is_partial: false }
    }

    /// The value of an option; `None` where it is not there or empty. An option
    /// that is written with nothing takes the one of the template away.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        let value = self.map.get(key).or_else(|| self.base?.get(key));
        value.filter(|value| !value.is_empty())
    }

    /// Whether the item says itself what the option is.
    pub(super) fn has_own(&self, key: &str) -> bool {
        self.base.is_none() || self.map.get(key).is_some()
    }
}

impl Item<'_> {
    /// An error about the whole item.
    pub(super) fn fail(&self, report: &mut Report, what: &str) {
        if !self.setting.broken {
            let text = format!("{}: {}: {what}", self.setting.spec.key, self.name);
            report.error(&self.setting.source, &text);
        }
    }

    /// An error about options that do not go together or are missing.
    pub(super) fn fail_together(&self, report: &mut Report, what: &str) {
        if !self.is_partial {
            self.fail(report, what);
        }
    }

    /// A warning about options that do not go together.
    pub(super) fn warn_together(&self, report: &mut Report, what: &str) {
        if !self.is_partial {
            self.warn(report, what);
        }
    }

    /// An error about an option whose value is not shown.
    pub(super) fn fail_option(&self, report: &mut Report, key: &str, what: &str) {
        if self.has_own(key) {
            self.fail(report, what);
        }
    }

    /// A warning about the whole item.
    pub(super) fn warn(&self, report: &mut Report, what: &str) {
        if !self.setting.broken {
            let text = format!("{}: {}: {what}", self.setting.spec.key, self.name);
            report.warn(&self.setting.source, &text);
        }
    }

    /// An error about the value of an option.
    pub(super) fn fail_value(&self, report: &mut Report, key: &str, value: &str, what: &str) {
        let pairs = self.setting.spec.pairs;
        let secret = pairs.iter().any(|pair| pair.key == key && pair.secret);
        let text = match secret {
            true => format!("{key}: {what}"),
            false => format!("{key} = {}: {what}{}", quoted(value), hint_of_blanks(value)),
        };
        self.fail_option(report, key, &text);
    }

    /// Reads an option with a function that gives a value, or says what was
    /// expected. `None` where it is not there, and after an error.
    pub(super) fn parse<T>(
        &self,
        report: &mut Report,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(key)?;
        match parse(value) {
            Ok(value) => Some(value),
            Err(what) => {
                self.fail_value(report, key, value, &what);
                None
            }
        }
    }

    pub(super) fn boolean(&self, report: &mut Report, key: &str) -> bool {
        self.parse(report, key, values::boolean).unwrap_or_default()
    }

    pub(super) fn duration(&self, report: &mut Report, key: &str) -> Option<Duration> {
        self.parse(report, key, duration::parse)
    }

    /// A decimal number within a range.
    pub(super) fn number(
        &self,
        report: &mut Report,
        key: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        self.parse(report, key, |text| {
            values::decimal(text)
                .and_then(|value| u32::try_from(value).ok())
                .filter(|value| range.contains(value))
                .ok_or_else(|| {
                    format!("expected a number from {} to {}", range.start(), range.end())
                })
        })
    }

    /// Reports options that are unknown, repeated, or without effect.
    pub(super) fn check_keys(&self, report: &mut Report) {
        let mut after_secret = false;
        for (index, pair) in self.map.pairs.iter().enumerate() {
            let Some(spec) = self.setting.spec.pairs.iter().find(|spec| spec.key == pair.key)
            else {
                self.unknown_key(report, &pair.key, after_secret);
                continue;
            };
            after_secret = spec.secret;
            let later = self.map.pairs.iter().skip(index.saturating_add(1));
            if later.into_iter().any(|later| later.key == pair.key) {
                self.warn(
                    report,
                    &format!("option {:?} is there twice; the last one counts", pair.key),
                );
                continue;
            }
            self.check_support(report, spec, &pair.value);
        }
    }

    fn check_support(&self, report: &mut Report, spec: &PairSpec, value: &str) {
        if value.is_empty() || values::boolean(value) == Ok(false) {
            return;
        }
        let key = spec.key;
        match spec.support {
            Support::Supported => {}
            Support::NotYet => {
                let text = format!(
                    "option {key:?} is known from fabio but not supported yet; it has no effect"
                );
                self.warn(report, &text);
            }
            Support::Refused => self.fail_value(
                report,
                key,
                value,
                "known from fabio but not supported yet; remove it",
            ),
            Support::Ignored(why) => {
                self.warn(report, &format!("option {key:?} has no effect: {why}"))
            }
        }
    }

    fn unknown_key(&self, report: &mut Report, key: &str, after_secret: bool) {
        let known = self.setting.spec.pairs.iter().map(|spec| spec.key);
        let near = nearest::nearest(key, known.filter(|key| !key.is_empty()));
        let text = match near {
            _ if key.is_empty() => "a value without a key has no effect".to_string(),
            Some(near) => format!("unknown option {key:?}; did you mean {near:?}?"),
            None if after_secret => "an unknown option after a password (not shown, as it may be \
                                     a part of it; put a password with , or ; in double quotes)"
                .to_string(),
            None => format!("unknown option {key:?}; it has no effect"),
        };
        self.warn(report, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;

    /// Reads one key with `read`; gives the value and the errors.
    fn with<T>(
        key: &'static str,
        value: &str,
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> (T, Vec<String>) {
        let line = crate::config::command_line::CommandLine {
            flags: vec![(key, value.to_string())],
            path: None,
        };
        let mut report = Report::default();
        let settings = crate::config::settings::merge(&line, &[], None, &mut report);
        let value = read(&mut Reader { settings: &settings, report: &mut report });
        (value, report.finish().0)
    }

    #[test]
    fn values_and_what_was_expected() {
        let key = "proxy.dialtimeout";
        let (value, errors) = with(key, "1m", |reader| reader.duration(key));
        assert_eq!((value, errors.len()), (Duration::from_secs(60), 0));
        let (_, errors) = with(key, "30", |reader| reader.duration(key));
        assert_eq!(
            errors,
            ["flag -proxy.dialtimeout: proxy.dialtimeout = \"30\": expected a duration such as \
              30s or 1m30s (the unit is missing)"]
        );
        let least = Duration::from_nanos(1);
        let (_, errors) = with(key, "0", |reader| reader.duration_from(key, least));
        assert!(errors[0].ends_with("= \"0\": expected a duration of more than 0"));
        let least = Duration::from_millis(10);
        let (_, errors) = with(key, "9ms", |reader| reader.duration_from(key, least));
        assert!(errors[0].ends_with("= \"9ms\": expected a duration of at least 10ms"));
        let key = "health.rise";
        assert_eq!(with(key, "0x10", |reader| reader.number(key, 1..=16)), (16, vec![]));
        for value in ["17", "0", "-1", "4294967297"] {
            let (_, errors) = with(key, value, |reader| reader.number(key, 1..=16));
            assert!(errors[0].ends_with(": expected a whole number from 1 to 16"), "{errors:?}");
        }
        let (_, errors) = with("bgp.enabled", "yes", |reader| reader.boolean("bgp.enabled"));
        assert!(errors[0].ends_with("bgp.enabled = \"yes\": expected true or false"));
    }

    #[test]
    fn a_key_that_the_table_does_not_have_is_an_error() {
        let (_, errors) = with("log.level", "x", |reader| reader.text("log.levle").len());
        assert_eq!(errors, ["log.levle is missing in the table of keys"]);
    }

    #[test]
    fn a_list_with_secrets_is_not_shown() {
        let key = "bgp.peers";
        let (_, errors) = with(key, "password=s3cret;x", |reader| reader.maps(key).is_some());
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with("flag -bgp.peers: bgp.peers: character 17: a key without"));
        assert!(!errors[0].contains("s3cret"));
        let (_, errors) = with(key, "s3cret", |reader| {
            let setting = reader.setting(key).unwrap();
            reader.fail(setting, "no");
        });
        assert_eq!(errors, ["flag -bgp.peers: bgp.peers: no"]);
    }

    fn checked(key: &'static str, value: &str) -> (Vec<String>, Vec<String>) {
        let setting = Setting {
            spec: options::find(key).unwrap(),
            value: value.to_string(),
            source: Source::Default,
            broken: false,
        };
        let maps = kv_list::parse(value).unwrap();
        let mut report = Report::default();
        let item = Item::new(&setting, "it".into(), &maps[0]);
        item.check_keys(&mut report);
        report.finish()
    }

    #[test]
    fn options_without_effect_are_named() {
        let text = ":80;proto=tcp;tlsmin=tls12;strictmatch=false;color=red;rtt=1s;rt=;rt=1s";
        let (errors, warnings) = checked("proxy.addr", text);
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(
            warnings,
            [
                "proxy.addr: it: option \"tlsmin\" is known from fabio but not supported yet; it has \
                 no effect",
                "proxy.addr: it: unknown option \"color\"; it has no effect",
                "proxy.addr: it: unknown option \"rtt\"; did you mean \"rt\"?",
                "proxy.addr: it: option \"rt\" is there twice; the last one counts",
            ]
        );
        let (_, warnings) = checked("bgp.peers", "neighboraddress=192.0.2.1");
        assert_eq!(
            warnings,
            [
                "bgp.peers: it: option \"neighboraddress\" has no effect: fabio's help names it, but \
              the key is \"address\""
            ]
        );
    }

    #[test]
    fn options_that_clients_would_miss_are_errors() {
        let (errors, _) = checked("proxy.addr", ":80;cs=x");
        assert_eq!(
            errors,
            ["proxy.addr: it: cs = \"x\": known from fabio but not supported yet; remove it"]
        );
        assert_eq!(checked("proxy.addr", ":80;cs=").0, Vec::<String>::new());
    }

    #[test]
    fn blanks_that_nobody_sees_are_said() {
        let (_, errors) = with("health.rise", "3 ", |reader| reader.number("health.rise", 1..=9));
        assert_eq!(
            errors,
            ["flag -health.rise: health.rise = \"3 \": expected a whole number (there is a blank \
              before or after it)"]
        );
    }

    #[test]
    fn a_piece_of_a_password_is_not_shown() {
        let (_, warnings) = checked("bgp.peers", "address=x;password=s3;cret=1;passwrod=2");
        assert_eq!(
            warnings,
            [
                "bgp.peers: it: an unknown option after a password (not shown, as it may be a part \
                 of it; put a password with , or ; in double quotes)",
                "bgp.peers: it: unknown option \"passwrod\"; did you mean \"password\"?",
            ]
        );
    }
}
