//! The command line: every key is a flag, by the rules of Go's `flag`.
//!
//! `-key=value` or `-key value`, with one dash or two; a boolean is `-key` or
//! `-key=false`. The first argument that is no flag, or `--`, ends the flags.
//! fabio ignores what is left then; here it is an error.

use super::nearest::nearest;
use super::options::{self, Kind};
use super::report::{Report, quoted};

/// What the arguments say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// Keys, or their aliases, and values in their order; the last one of a key
    /// counts.
    pub(super) flags: Vec<(&'static str, String)>,
    /// `-cfg`: the properties file.
    pub(super) path: Option<String>,
}

/// What the arguments ask for before any configuration is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `-h`, `-help`: print the usage.
    Help,
    /// `-v`, `-version`, `--version` anywhere: print the version.
    Version,
    /// Neither.
    Load,
}

/// Flags that are no keys, with what they do; for the help.
pub(super) const OTHER_FLAGS: [(&str, &str); 3] = [
    ("-cfg PATH", "Read this properties file. Without it no file is read."),
    ("-v, -version", "Print the version."),
    ("-h, -help", "Print this help."),
];

/// Looks for the flags that ask for something else than a configuration.
pub fn request(arguments: &[String]) -> Request {
    let is_version = |argument: &String| matches!(&**argument, "-v" | "-version" | "--version");
    // fabio looks for it before it reads the flags, so that it works anywhere.
    if arguments.iter().any(is_version) {
        return Request::Version;
    }
    let mut help = false;
    read(arguments, &mut Report::default(), &mut help);
    if help { Request::Help } else { Request::Load }
}

/// What `--diff OLD NEW` asks for: the old file, the new one, and the arguments
/// that follow.
pub type DifferenceRequest<'a> = (&'a str, &'a str, &'a [String]);

/// `--diff OLD NEW`, which stands before all other flags of `burgee check`.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn difference(arguments: &[String]) -> Option<Result<DifferenceRequest<'_>, String>> {
    let (first, rest) = arguments.split_first()?;
    if !matches!(&**first, "-diff" | "--diff") {
        return None;
    }
    Some(match rest {
        [old, new, rest @ ..] if !is_flag(old) && !is_flag(new) => Ok((old, new, rest)),
        _ => Err("--diff needs two files, the old and the new one".to_owned()),
    })
}

/// Reads the arguments that follow the sub-command.
pub(super) fn parse(arguments: &[String], report: &mut Report) -> CommandLine {
    read(arguments, report, &mut false)
}

fn read(arguments: &[String], report: &mut Report, help: &mut bool) -> CommandLine {
    let mut line = CommandLine::default();
    let mut rest = arguments.iter();
    let mut previous_boolean = None;
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
            leftover(argument, previous_boolean, report);
            return line;
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if flag.is_empty() {
            if let Some(argument) = rest.next() {
                leftover(argument, None, report);
            }
            return line;
        }
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        previous_boolean = None;
        match name {
            "h" | "help" => {
                *help = true;
                return line;
            }
            // Seen to by `request`; with `--v` nothing happens, as in fabio.
            "v" | "version" => {}
            "cfg" => line.path = path(value, &mut rest, report).or(line.path),
            name => {
                let Some((spec, key)) = options::find_name(name) else {
                    unknown(name, report);
                    if value.is_none() && rest.as_slice().first().is_some_and(|next| !is_flag(next))
                    {
                        // Most likely its value: one error is enough.
                        rest.next();
                    }
                    continue;
                };
                let value = match (value, spec.kind) {
                    (Some(value), _) => value.to_string(),
                    (None, Kind::Boolean) => {
                        previous_boolean = Some(key);
                        "true".to_string()
                    }
                    (None, _) => match rest.next() {
                        Some(value) => value.clone(),
                        None => {
                            report.command_line(&format!("flag -{name} needs a value"));
                            return line;
                        }
                    },
                };
                line.flags.push((key, value));
            }
        }
    }
    line
}

fn is_flag(argument: &str) -> bool {
    argument.len() > 1 && argument.starts_with('-')
}

fn path(
    value: Option<&str>,
    rest: &mut std::slice::Iter<'_, String>,
    report: &mut Report,
) -> Option<String> {
    let path = match value {
        Some(value) => unquote(value).to_string(),
        None => rest.next().cloned().unwrap_or_default(),
    };
    if path.is_empty() {
        report.command_line("flag -cfg: invalid or missing path to config file");
        return None;
    }
    Some(path)
}

/// Drops one pair of quotes around a path.
fn unquote(path: &str) -> &str {
    let inside = |quote: char| path.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(path)
}

fn leftover(argument: &str, previous_boolean: Option<&str>, report: &mut Report) {
    let shown = quoted(argument);
    report.command_line(&match previous_boolean {
        Some(key) => format!(
            "unexpected argument {shown}: a boolean takes its value after \"=\", as in \
             -{key}=false"
        ),
        None if !argument.starts_with('-') && argument.contains(['.', '/']) => {
            format!("unexpected argument {shown}: only flags can follow; a file is -cfg {argument}")
        }
        None => format!("unexpected argument {shown}: only flags can follow"),
    });
}

fn unknown(name: &str, report: &mut Report) {
    let others = ["cfg", "help", "version"];
    let known = options::all().map(|spec| spec.key).chain(others);
    let hint = match nearest(name, known) {
        Some(known) => format!("; did you mean -{known}?"),
        None => String::new(),
    };
    report.command_line(&format!("unknown flag -{name}{hint}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> (CommandLine, Vec<String>) {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_string()).collect();
        let mut report = Report::default();
        let line = parse(&arguments, &mut report);
        let flag_error = report.flag_error();
        let errors = report.finish().0;
        assert_eq!(flag_error, !errors.is_empty());
        (line, errors)
    }

    fn flags(arguments: &[&str]) -> Vec<(&'static str, String)> {
        let (line, errors) = parsed(arguments);
        assert_eq!(errors, Vec::<String>::new());
        line.flags
    }

    #[test]
    fn every_form_of_a_flag() {
        assert_eq!(flags(&[]), []);
        assert_eq!(flags(&["-log.level=WARN"]), [("log.level", "WARN".into())]);
        assert_eq!(flags(&["--log.level=WARN"]), [("log.level", "WARN".into())]);
        assert_eq!(flags(&["-log.level", "WARN"]), [("log.level", "WARN".into())]);
        assert_eq!(flags(&["-bgp.listenport", "-1"]), [("bgp.listenport", "-1".into())]);
        assert_eq!(flags(&["-proxy.addr="]), [("proxy.addr", String::new())]);
        assert_eq!(flags(&["-proxy.addr=a=b"]), [("proxy.addr", "a=b".into())]);
        assert_eq!(flags(&["-bgp.enabled"]), [("bgp.enabled", "true".into())]);
        assert_eq!(flags(&["-bgp.enabled=false"]), [("bgp.enabled", "false".into())]);
        assert_eq!(flags(&["--v", "--"]), []);
        assert_eq!(
            flags(&["-bgp.enabled", "-bgp.asn", "1", "-bgp.asn=2"]),
            [("bgp.enabled", "true".into()), ("bgp.asn", "1".into()), ("bgp.asn", "2".into())]
        );
    }

    #[test]
    fn the_path() {
        let golden: [(&[&str], &str); 7] = [
            (&["-cfg", "a"], "a"),
            (&["--cfg", "a"], "a"),
            (&["-cfg=a"], "a"),
            (&["--cfg='a b'"], "a b"),
            (&["-cfg=\"a\""], "a"),
            (&["-cfg=\"a'"], "\"a'"),
            (&["-cfg=a", "-cfg=b"], "b"),
        ];
        for (arguments, path) in golden {
            let (line, errors) = parsed(arguments);
            assert_eq!((line.path.as_deref(), errors), (Some(path), vec![]), "{arguments:?}");
        }
        let missing: [&[&str]; 4] = [&["-cfg"], &["-cfg="], &["-cfg=''"], &["-cfg", ""]];
        for arguments in missing {
            let (line, errors) = parsed(arguments);
            assert_eq!(line.path, None);
            assert_eq!(errors, ["flag -cfg: invalid or missing path to config file"]);
        }
    }

    #[test]
    fn errors() {
        let golden: [(&[&str], &[&str]); 10] = [
            (&["-bgp.perrs=x"], &["unknown flag -bgp.perrs; did you mean -bgp.peers?"]),
            (
                &["-Log.Level", "x", "-weather"],
                &["unknown flag -Log.Level; did you mean -log.level?", "unknown flag -weather"],
            ),
            (&["--versoin"], &["unknown flag -versoin; did you mean -version?"]),
            (&["-log.level"], &["flag -log.level needs a value"]),
            (&["chek"], &["unexpected argument \"chek\": only flags can follow"]),
            (
                &["burgee.properties"],
                &["unexpected argument \"burgee.properties\": only flags can follow; a file is \
                   -cfg burgee.properties"],
            ),
            (&["-"], &["unexpected argument \"-\": only flags can follow"]),
            (&["--", "-x"], &["unexpected argument \"-x\": only flags can follow"]),
            (
                &["-bgp.enabled", "false"],
                &["unexpected argument \"false\": a boolean takes its value after \"=\", as in \
                   -bgp.enabled=false"],
            ),
            (&["-=x"], &["unknown flag -"]),
        ];
        for (arguments, errors) in golden {
            assert_eq!(parsed(arguments).1, errors, "{arguments:?}");
        }
    }

    #[test]
    fn the_files_of_a_difference() {
        let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_string()).collect::<Vec<_>>();
        assert_eq!(difference(&own(&["-log.level=WARN"])), None);
        assert_eq!(difference(&[]), None);
        for flag in ["-diff", "--diff"] {
            let arguments = own(&[flag, "a", "b", "-bgp.asn=1"]);
            assert_eq!(difference(&arguments), Some(Ok(("a", "b", &arguments[3..]))));
        }
        for few in [&["--diff"][..], &["--diff", "a"], &["--diff", "a", "-bgp.asn=1"]] {
            assert!(matches!(difference(&own(few)), Some(Err(_))), "{few:?}");
        }
    }

    #[test]
    fn requests() {
        let request = |arguments: &[&str]| {
            request(&arguments.iter().map(|text| (*text).to_string()).collect::<Vec<String>>())
        };
        for arguments in [&["-h"][..], &["-help"], &["--help"], &["-bgp.enabled", "--h"]] {
            assert_eq!(request(arguments), Request::Help, "{arguments:?}");
        }
        for arguments in [&["-v"][..], &["x", "-version"], &["-h", "--version"]] {
            assert_eq!(request(arguments), Request::Version, "{arguments:?}");
        }
        for arguments in [&[][..], &["--v"], &["x", "-h"], &["--", "-h"], &["-log.level", "-h"]] {
            assert_eq!(request(arguments), Request::Load, "{arguments:?}");
        }
    }
}
