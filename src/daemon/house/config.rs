//! The settings in force, as they are told.

use crate::config::{Effective, InForce, Value};

/// Most octets of one value that are told: a whole route table may be in one.
const LONGEST: usize = 64 * 1024;

/// All settings in force; none, until they are known.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Settings {
    effective: Option<Effective>,
    told: Vec<InForce>,
}

impl Settings {
    /// Those of the start.
    pub(in crate::daemon) fn of(effective: Effective) -> Settings {
        let told = effective.values().map(shortened).collect();
        Settings { effective: Some(effective), told }
    }

    /// Those after a reload; what needs a restart is as it was.
    pub(in crate::daemon) fn reload(&mut self, effective: Effective) {
        let effective = match &self.effective {
            Some(before) => effective.after_reload(before),
            None => effective,
        };
        *self = Settings::of(effective);
    }

    pub(super) fn tell(&self) -> Vec<InForce> {
        self.told.clone()
    }
}

/// A text that is too long is told as far as may be.
fn shortened(setting: InForce) -> InForce {
    let mut text = setting.text;
    let more = text.len().saturating_sub(LONGEST);
    if more == 0 {
        return InForce { text, ..setting };
    }
    text.truncate(text.floor_char_boundary(LONGEST));
    text.push_str(&format!("... and about {more} more octets"));
    InForce { key: setting.key, value: Value::Text(text.clone()), text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Loaded};

    fn loaded(text: String) -> Loaded {
        let read = move |_: &str| Ok(text.clone().into_bytes());
        config::load(&["-cfg=file".to_owned()], &[], &read).expect("a valid configuration")
    }

    #[test]
    fn secrets_are_masked_and_long_values_cut() {
        let secret = "ui.username = a\nui.password = sesame\n".to_owned();
        let told = Settings::of(loaded(secret).effective).tell();
        assert!(told.len() > 50 && !format!("{told:?}").contains("sesame"));
        let line = "route add a :80 tcp://192.0.2.1:80 tags \"\u{e4}\"\\n";
        let long = format!("registry.static.routes = {}\n", line.repeat(3000));
        let told = Settings::of(loaded(long).effective).tell();
        let routes = told.iter().find(|it| it.key == "registry.static.routes").unwrap();
        assert!(routes.text.len() < LONGEST + 50, "{}", routes.text.len());
        assert!(routes.text.ends_with(" more octets"));
        assert_eq!(routes.value, Value::Text(routes.text.clone()));
    }

    #[test]
    fn a_reload_tells_what_is_in_force_then() {
        let old = loaded("proxy.shutdownwait = 1s\nbgp.vip = lo\n".to_owned());
        let new = loaded("proxy.shutdownwait = 2s\nbgp.vip = eth0\n".to_owned());
        let mut settings = Settings::of(old.effective);
        settings.reload(new.effective);
        let told = settings.tell();
        let of = |key: &str| told.iter().find(|it| it.key == key).unwrap().text.as_str();
        assert_eq!((of("proxy.shutdownwait"), of("bgp.vip")), ("2s", "lo"));
        assert!(Settings::default().tell().is_empty());
    }
}
