//! Documents of the length of a long article, made from a seed.
//!
//! Invariant: a document depends on its number and on nothing else.

use std::fmt::Write as _;

const SYLLABLES: [&str; 16] =
    ["ba", "co", "di", "fu", "ga", "he", "ki", "lo", "ma", "ne", "pi", "ro", "su", "ta", "ve", "zo"];
const PARAGRAPHS: usize = 60;
const WORDS: usize = 80;

/// A generator of the kind xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize
    }

    fn word(&mut self) -> String {
        (0..2 + self.next() % 3).map(|_| SYLLABLES[self.next() % SYLLABLES.len()]).collect()
    }

    fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }
}

/// Returns a document.
pub(crate) fn document(number: usize) -> Vec<u8> {
    let random = &mut Random(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
    let title = random.words(6);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head><body>\
         <nav><ul><li><a href=\"/\">Home</a></li><li><a href=\"/about\">About</a></li></ul></nav><article><h1>{title}</h1>"
    );
    for paragraph in 0..PARAGRAPHS {
        let (text, word, rest) = (random.words(WORDS / 2), random.word(), random.words(WORDS / 2));
        let _ = match paragraph % 6 {
            4 => write!(page, "<h2>{word}</h2><ul><li>{text}</li><li>{rest}</li></ul>"),
            5 => write!(page, "<blockquote><p>{text}, {word}, {rest}.</p></blockquote>"),
            _ => write!(page, "<p>{text}, <a href=\"/{word}/{paragraph}\">{word}</a>, <em>{rest}</em>.</p>"),
        };
    }
    page.push_str("</article><footer><p>The end</p></footer></body></html>");
    page.into_bytes()
}
