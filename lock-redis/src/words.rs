//! Words of a request, in one text.

use std::fmt::{Arguments, Write};

/// Words one after the other: one allocation for all of them, of which a request has a few hundred.
pub(crate) struct Words {
    text: String,
    ends: Vec<usize>,
}

impl Words {
    pub(crate) fn new() -> Self {
        Self { text: String::with_capacity(256), ends: Vec::with_capacity(4) }
    }

    pub(crate) fn push(&mut self, word: Arguments<'_>) {
        self.text.write_fmt(word).expect("a text takes everything");
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
        words.push(format_args!("{}:{}", "a", "ü"));
        words.push(format_args!(""));
        words.push(format_args!("b {}", "c"));
        assert_eq!(words.iter().collect::<Vec<_>>(), ["a:ü", "", "b c"]);
        assert_eq!(words.len(), 3);
    }
}
