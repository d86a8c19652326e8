//! `registry.static.routes`: route commands from the configuration itself.

use super::Delivery;

/// The key that the commands are from.
pub const ORIGIN: &str = "registry.static.routes";

/// Makes the table from the value of `registry.static.routes`, one command a
/// line. (In a properties file the lines are separated by `\n` escapes, which
/// are line feeds by the time they come here.) Delivered once.
pub fn load(text: &str) -> Delivery {
    Delivery::at_once(ORIGIN, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lines_make_the_table_and_bad_ones_are_reported() {
        let delivery = load(
            "route add a :1 tcp://192.0.2.1:1\nroute add a :2\nroute add a :3 tcp://192.0.2.1:1\n",
        );
        assert_eq!(delivery.table.routes().len(), 2);
        assert_eq!(delivery.errors.len(), 1);
        assert_eq!(delivery.errors[0].line, 2);
    }

    #[test]
    fn no_text_is_an_empty_table_and_no_error() {
        let delivery = load("");
        assert!(delivery.table.routes().is_empty());
        assert!(delivery.errors.is_empty());
    }
}
