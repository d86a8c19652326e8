//! `registry.file.path`: route commands from a file.
//!
//! Who reads the file, and when, is for the daemon to say; this is what
//! becomes of its content.

use super::Delivery;
use crate::route::TableBuilder;

/// Makes the table from the content of the file at `path`, one command a line,
/// at once.
pub fn load(path: &str, content: &[u8]) -> Delivery {
    Delivery::at_once(path, content)
}

/// A file on its way to a table, in slices, while everything else goes on.
#[derive(Debug)]
pub struct Loading {
    path: String,
    builder: TableBuilder,
}

impl Loading {
    /// Begins with the content of the file at `path`.
    pub fn new(path: &str, content: impl Into<Vec<u8>>) -> Loading {
        Loading { path: path.to_owned(), builder: TableBuilder::of(content.into()) }
    }

    /// Reads about `lines` lines; see [`TableBuilder::step`].
    pub fn step(&mut self, lines: usize) -> Option<Delivery> {
        Some(Delivery::new(&self.path, self.builder.step(lines)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = "# routes\nroute add a :1 tcp://192.0.2.1:1\nroute add a :2\n\
                           route add b :2 tcp://192.0.2.2:2 opts \"odd=1\"\n";

    #[test]
    fn errors_and_warnings_name_the_file_and_the_line() {
        let delivery = load("/etc/burgee/routes", CONTENT.as_bytes());
        assert_eq!(delivery.table.routes().len(), 2);
        let errors: Vec<String> = delivery.error_lines().collect();
        assert_eq!(
            errors,
            ["/etc/burgee/routes: line 3: route add a :2: expected a target such as \
              tcp://192.0.2.1:80, found the end of the line"]
        );
        let warnings: Vec<String> = delivery.warning_lines().collect();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].starts_with("/etc/burgee/routes: line 4: route add b"));
    }

    #[test]
    fn slices_make_what_is_made_at_once() {
        let mut loading = Loading::new("f", CONTENT.as_bytes());
        let mut steps = 1;
        let delivery = loop {
            if let Some(delivery) = loading.step(1) {
                break delivery;
            }
            steps += 1;
        };
        assert!(steps > 4, "{steps}");
        let whole = load("f", CONTENT.as_bytes());
        assert_eq!(delivery.table.to_string(), whole.table.to_string());
        assert_eq!((delivery.errors, delivery.warnings), (whole.errors, whole.warnings));
        assert_eq!(delivery.origin, "f");
    }

    #[test]
    fn a_file_that_is_no_text_loses_only_its_bad_lines() {
        let delivery = load("f", b"route add a :1 tcp://192.0.2.1:1\n\xff\xfe\n\0\n");
        assert_eq!(delivery.table.routes().len(), 1);
        let lines: Vec<usize> = delivery.errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 3]);
    }
}
