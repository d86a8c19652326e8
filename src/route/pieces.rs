//! A list in pieces: it grows without moving what is in it, and is given back
//! piece by piece. To do either with a single large allocation takes longer
//! than a turn of the loop may.

/// Items of one piece.
const PIECE: usize = 256;

/// A list that only grows, until it is given back.
#[derive(Debug)]
pub(super) struct Pieces<T> {
    /// All are full but the last.
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Pieces { pieces: Vec::new(), len: 0 }
    }
}

impl<T> Pieces<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.pieces.get(at / PIECE)?.get(at % PIECE)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.pieces.get_mut(at / PIECE)?.get_mut(at % PIECE)
    }

    pub(super) fn push(&mut self, item: T) {
        self.len = self.len.saturating_add(1);
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(item),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(item);
                self.pieces.push(piece);
            }
        }
    }

    /// Gives the last piece back; says whether there was one.
    pub(super) fn give_back(&mut self) -> bool {
        let piece = self.pieces.pop();
        self.len = self.len.saturating_sub(piece.as_ref().map_or(0, Vec::len));
        piece.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_until_it_is_given_back() {
        let mut list = Pieces::default();
        assert_eq!((list.len(), list.get(0)), (0, None));
        let count = 3 * PIECE + 1;
        (0..count).for_each(|number| list.push(number));
        assert_eq!(list.len(), count);
        assert!((0..count).all(|at| list.get(at) == Some(&at)));
        assert_eq!(list.get(count), None);
        list.get_mut(PIECE).into_iter().for_each(|item| *item = 7);
        assert_eq!(list.get(PIECE), Some(&7));
        assert_eq!(list.get_mut(count), None);
        let given_back = std::iter::from_fn(|| list.give_back().then(|| list.len()));
        assert_eq!(given_back.collect::<Vec<_>>(), [3 * PIECE, 2 * PIECE, PIECE, 0]);
    }
}
