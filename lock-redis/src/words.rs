//! Words of a request, in one text.

/// Words one after the other: one allocation for all of them, of which a request has a few hundred.
pub(crate) struct Words {
    text: String,
    ends: Vec<usize>,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self { text: String::with_capacity(256), ends: Vec::with_capacity(4) }
    }

    /// Goes on with the last word, or begins the first.
    pub(crate) fn add(&mut self, piece: &str) -> &mut Self {
        self.text.push_str(piece);
        self
    }

    pub(crate) fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.add(itoa::Buffer::new().format(number))
    }

    /// The word is complete.
    pub(crate) fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
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
