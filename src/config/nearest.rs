//! The nearest known name to one that nobody knows: "did you mean …?".

/// The known name nearest to `word`, when one is near enough to be meant: the
/// same but for upper and lower case, or else within a third of its length in
/// edits (one letter inserted, left out, replaced, or two swapped).
pub(crate) fn nearest<'a>(
    word: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    if let Some(same) = known.clone().find(|name| name.eq_ignore_ascii_case(word)) {
        return Some(same);
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let limit = (word.len() / 3).max(1);
    known
        .filter_map(|name| {
            let letters: Vec<char> = name.to_lowercase().chars().collect();
            if letters.len().abs_diff(word.len()) > limit {
                return None;
            }
            let edits = distance(&word, &letters);
            (edits <= limit).then_some((edits, name))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Edits between two words: Levenshtein's distance, with a swap of two
/// neighbours counted once.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut from_previous = None;
    for (row, &from_letter) in from.iter().enumerate() {
        let mut left = row.saturating_add(1);
        let mut current = vec![left];
        let mut to_previous = None;
        for (column, &to_letter) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&above, column).saturating_add(usize::from(from_letter != to_letter));
            let removed = at(&above, column.saturating_add(1)).saturating_add(1);
            let mut edits = replaced.min(removed).min(left.saturating_add(1));
            if from_previous == Some(to_letter) && to_previous == Some(from_letter) {
                let swapped = at(&before, column.saturating_sub(1)).saturating_add(1);
                edits = edits.min(swapped);
            }
            current.push(edits);
            left = edits;
            to_previous = Some(to_letter);
        }
        from_previous = Some(from_letter);
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(from: &str, to: &str) -> usize {
        let letters = |word: &str| word.chars().collect::<Vec<char>>();
        distance(&letters(from), &letters(to))
    }

    #[test]
    fn distances() {
        assert_eq!(edits("", ""), 0);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("asn", "ans"), 1);
        assert_eq!(edits("ab", "ba"), 1);
        assert_eq!(edits("peers", "perrs"), 1);
    }

    #[test]
    fn case_comes_first_then_distance_and_the_far_is_not_named() {
        let known = ["bgp.peers", "bgp.asn", "registry.consul.pollinterval"];
        let nearest = |word: &str| nearest(word, known.iter().copied());
        assert_eq!(nearest("BGP.ASN"), Some("bgp.asn"));
        assert_eq!(nearest("registry.consul.pollInterval"), Some(known[2]));
        assert_eq!(nearest("bgp.perrs"), Some("bgp.peers"));
        assert_eq!(nearest("bgp.ans"), Some("bgp.asn"));
        assert_eq!(nearest("something.else"), None);
        assert_eq!(nearest(""), None);
    }
}
