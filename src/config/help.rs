//! The table of options for people: `--help` and `docs/settings.md`.

use std::fmt::Write;

use super::command_line::OTHER_FLAGS;
use super::options::{self, Impact, PairSpec, Spec, Support};

const WIDTH: usize = 100;

/// The text of `--help`.
pub fn usage() -> String {
    let mut text = String::from(
        "burgee: a load balancer that announces its anycast addresses over BGP, and only while it\n\
         is ready to serve them\n\
         \n\
         Usage: burgee [run] [flags]     serve\n\
         \x20      burgee check [flags]     check the configuration and print it; exits with 2 if a \
         flag is\n\
         \x20                              invalid, with 1 if anything else is\n\
         \x20      burgee check --diff OLD NEW [flags]\n\
         \x20                              print what a reload from one file to the other would do\n\
         \x20      burgee demo [--once]     show the whole in one process, without any privilege\n\
         \n\
         and of the instance that runs on this host:\n\
         \n\
         \x20      burgee status            what it does: sessions, announcements, services\n\
         \x20      burgee explain PREFIX    why a prefix is announced, or is not, and what comes next\n\
         \x20      burgee drain [PREFIX]    withdraw everything, or one prefix, until it is resumed\n\
         \x20      burgee resume [PREFIX]   end that\n\
         \x20        --json                 print JSON: status, explain\n\
         \x20        --watch                go on, and print it anew as it changes: status, explain\n\
         \x20        --socket PATH          the ui.socket of the instance, unless that is the \
         default\n\
         \n",
    );
    let intro = "Every key is a flag, -key=value or -key value, and an environment variable: \
                 proxy.addr is FABIO_PROXY_ADDR, or PROXY_ADDR. Flags come before the environment, \
                 and that before the properties file. SIGHUP \
                 reads everything again.";
    text.push_str(&wrap(intro, "", ""));
    text.push_str("\nflags\n");
    for (flag, help) in OTHER_FLAGS {
        text.push_str(&format!("  {flag}\n{}", wrap(help, "        ", "        ")));
    }
    let mut group = "";
    for spec in options::all().filter(|spec| spec.support == Support::Supported) {
        if spec.group() != group {
            group = spec.group();
            text.push_str(&format!("\n{group}\n"));
        }
        let help = format!("{} Default: {}.", plain(spec.help), default(spec));
        text.push_str(&format!(
            "  -{} {}\n{}",
            spec.key,
            spec.kind.name(),
            wrap(&help, "        ", "        ")
        ));
        let pairs = spec.documented_pairs().iter();
        for pair in pairs.filter(|pair| pair.support == Support::Supported) {
            let name = if pair.key.is_empty() { "(first value)" } else { pair.key };
            let help = format!("{name}: {}", plain(pair.help));
            text.push_str(&wrap(&help, "          ", "            "));
        }
    }
    let others = options::all().filter(|spec| spec.support != Support::Supported);
    let others: Vec<&str> = others.map(|spec| spec.key).collect();
    text.push_str("\nknown from fabio, and without effect\n");
    text.push_str(&wrap(&others.join(" "), "  ", "  "));
    text
}

/// What a key has when it is not set, for people.
fn default(spec: &Spec) -> String {
    match (spec.default, spec.default_note) {
        ("", "") => "empty".to_string(),
        ("", note) => note.to_string(),
        (default, "") => default.to_string(),
        (default, note) => format!("{default}, {note}"),
    }
    .replace('`', "")
}

/// Help without the marks of Markdown.
fn plain(help: &str) -> String {
    help.replace('`', "")
}

/// Breaks a text into lines of at most [`WIDTH`] characters. The first line is
/// indented by `first`, the others by `rest`.
fn wrap(text: &str, first: &str, rest: &str) -> String {
    let mut wrapped = String::new();
    let mut indent = first;
    let mut column = 0_usize;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column.saturating_add(length).saturating_add(1) > WIDTH {
            wrapped.push('\n');
            column = 0;
            indent = rest;
        }
        let before = if column == 0 { indent } else { " " };
        wrapped.push_str(before);
        wrapped.push_str(word);
        column = column.saturating_add(before.len()).saturating_add(length);
    }
    wrapped.push('\n');
    wrapped
}

/// What stands at the head of `docs/settings.md`.
const HEAD: &str = "\
# Settings

<!-- Generated from src/config/options/table.rs; `BURGEE_BLESS=1 cargo test settings` writes it. -->

burgee reads the configuration of [fabio](https://fabiolb.net). Each key is looked up in this order,
and the first value counts:

1. the command line: `-key=value` or `-key value`, with one dash or two; a boolean is `-key` or
   `-key=false`
2. the environment with the prefix: `proxy.addr` is `FABIO_PROXY_ADDR`
3. the environment without it: `PROXY_ADDR`
4. the properties file of `-cfg PATH`
5. the default

A bad value is an error that names its place, and nothing is started. (fabio takes a bad value from
a file or the environment for zero or false.) `burgee check` takes the same flags, reports all
errors and warnings, and prints the configuration in force, each value with where it was set.

## Kinds of values

| kind | written as |
|---|---|
| boolean | `true` or `false`; also `1 t T TRUE True` and `0 f F FALSE False` |
| integer, unsigned integer | `179`, `0xb3`, `0o263` or `0263`, `0b10110011`, `1_000` |
| duration | `300ms`, `1.5h`, `2m30s`; the units are `ns us ms s m h`, and only `0` needs none |
| text | anything; blanks at the end of a line count |
| list | `a, b, c` |
| kv-list | `:80;proto=tcp,addr=:81;proto=tcp`: maps with `,` between them, pairs with `;`. A value that begins with `\"` is quoted, and can contain both: `password=\"a;b\"`. Numbers are decimal. |

In the properties file `#` and `!` begin a comment, a backslash at the end of a line continues it,
`\\n` is a newline, and `${name}` is replaced by the value of another key of the file or else of an
environment variable.

## Reload

On SIGHUP, and with `config.watch` when the file is another one, burgee reads everything again: the
same file, the same flags, the environment that it was started with. With any error the old
configuration stays in force as a whole, and each error is in the log with its place. Otherwise what
differs is put in force, and nothing else is touched. What a change costs is said of each key and
option below:

| on reload | what it means |
|---|---|
";

/// The text of `docs/settings.md`.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    for impact in Impact::ALL {
        let _ = writeln!(text, "| {} | {} |", impact.word(), impact.phrase());
    }
    text.push_str(
        "\n`burgee check --diff OLD NEW` prints what a reload from one file to the other would do.\n",
    );
    let mut group = "";
    for spec in options::all().filter(|spec| spec.support == Support::Supported) {
        if spec.group() != group {
            group = spec.group();
            text.push_str(&format!("\n## {group}\n"));
        }
        markdown_entry(&mut text, spec);
    }
    text.push_str(
        "\n## Known from fabio, and without effect\n\n\
         Setting one of these is a warning, unless it is set to nothing or to `false`.\n\n\
         | key | kind | default of fabio | what it is |\n|---|---|---|---|\n",
    );
    for spec in options::all().filter(|spec| spec.support != Support::Supported) {
        let default = markdown_default(spec.default, spec.default_note);
        let (key, kind) = (spec.key, spec.kind.name());
        let help = with_support(spec.help, spec.support) + &aliases(spec);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{key}` | {kind} | {default} | {help} |");
    }
    text
}

fn markdown_entry(text: &mut String, spec: &Spec) {
    let new = if spec.new { " Not in fabio." } else { "" };
    let aliases = aliases(spec);
    let default = markdown_default(spec.default, spec.default_note);
    let (key, kind) = (spec.key, spec.kind.name());
    let impact = format!("{}, {}", spec.impact.word(), spec.impact.phrase());
    let _ = writeln!(text, "\n### {key}\n\n{}{new}{aliases}\n", spec.help);
    let _ = writeln!(text, "Kind: {kind}. Default: {default}. On a reload: {impact}.");
    if spec.documented_pairs().is_empty() {
        return;
    }
    text.push_str(
        "\n| option | kind | default | on reload | what it does |\n|---|---|---|---|---|\n",
    );
    for pair in spec.documented_pairs() {
        markdown_pair(text, spec, pair);
    }
}

/// What is to be said of the aliases of a key.
fn aliases(spec: &Spec) -> String {
    let name = |alias: &&str| format!(" `{alias}`, as fabio's documentation has it, is read too.");
    spec.aliases.iter().map(name).collect()
}

fn markdown_pair(text: &mut String, spec: &Spec, pair: &PairSpec) {
    let name = match pair.key {
        "" => "(first value)".to_string(),
        key => format!("`{key}`"),
    };
    let new = if pair.new { " Not in fabio." } else { "" };
    let default = markdown_default(pair.default, "");
    let kind = pair.kind.name();
    let help = match pair.support {
        Support::NotYet => format!("{} Without effect yet.", pair.help),
        support => with_support(pair.help, support),
    };
    let impact = match pair.support {
        Support::Supported => pair.impact.unwrap_or(spec.impact).word(),
        Support::NotYet | Support::Refused | Support::Ignored(_) => "",
    };
    let _ = writeln!(text, "| {name} | {kind} | {default} | {impact} | {help}{new} |");
}

fn markdown_default(default: &str, note: &str) -> String {
    match (default, note) {
        ("", "") => "empty".to_string(),
        ("", note) => note.to_string(),
        (default, "") => format!("`{default}`"),
        (default, note) => format!("`{default}`, {note}"),
    }
}

fn with_support(help: &str, support: Support) -> String {
    match support {
        Support::Supported | Support::NotYet => help.to_string(),
        Support::Refused => format!("{help} Not supported yet, and an error."),
        Support::Ignored(why) => format!("{help} Without effect: {why}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_at_words() {
        assert_eq!(wrap("a b", "  ", ""), "  a b\n");
        let words = "1234567890 ".repeat(10);
        let wrapped = wrap(words.trim_end(), " ", "    ");
        assert_eq!(wrapped.lines().map(str::len).collect::<Vec<usize>>(), [99, 14]);
        let long = "x".repeat(150);
        assert_eq!(wrap(&format!("a {long} b"), "", ""), format!("a\n{long}\nb\n"));
    }

    #[test]
    fn usage_names_every_key_in_narrow_lines() {
        let usage = usage();
        for spec in options::all() {
            assert!(usage.contains(spec.key), "{}", spec.key);
        }
        for line in usage.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(!line.contains('`'), "{line}");
        }
    }

    #[test]
    fn settings_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
        if std::env::var_os("BURGEE_BLESS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == markdown(), "docs/settings.md is not the table; see its second line");
    }
}
