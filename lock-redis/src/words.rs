//! Words of a request, in one text.

/// What ends a word. None has one: keys and labels have no control characters, and only line breaks are added to them.
const END: char = '\0';

/// Words one after the other: one allocation for all of them, of which a request has a few hundred.
pub(crate) struct Words {
    text: String,
    count: usize,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self { text: String::with_capacity(256), count: 0 }
    }

    /// Goes on with the last word, or begins the first.
    pub(crate) fn add(&mut self, piece: &str) -> &mut Self {
        debug_assert!(!piece.contains(END), "{piece:?}");
        self.text.push_str(piece);
        self
    }

    pub(crate) fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.add(itoa::Buffer::new().format(number))
    }

    /// The word is complete.
    pub(crate) fn end(&mut self) {
        self.text.push(END);
        self.count += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.split_terminator(END)
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn words_come_out_as_they_went_in() {
        let mut words = Words::new();
        words.add("a").add(":").add("ü").end();
        words.end();
        words.add("b ").number(-1).end();
        assert_eq!(words.iter().collect::<Vec<_>>(), ["a:ü", "", "b -1"]);
        assert_eq!(words.len(), 3);
    }
}
