//! Stands between the tokenizer and the tree builder, and bounds what a tag may cost.
//!
//! The tree builder searches its stack of open elements at most tags, so unbounded nesting costs quadratic time. A start
//! tag that would be too deep is therefore closed at once: its text belongs to the element around it, and its own end
//! tag is dropped when it comes.
//!
//! Invariant: the stack of open elements has at most a few entries more than [`DEPTH_MAX`].

use crate::{
    limits::{ATTRIBUTE_BYTES_MAX, ATTRIBUTE_COMPARISONS_MAX, ATTRIBUTES_MAX, DEPTH_MAX},
    sink::Sink,
};
use dom_query::NodeId;
use html5ever::{
    LocalName,
    tokenizer::{
        Tag,
        TagKind::{EndTag, StartTag},
        Token, TokenSink, TokenSinkResult,
    },
    tree_builder::TreeBuilder,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

/// Tags that have no end tag; `</br>` would even be a start tag.
const VOID: [&str; 16] = [
    "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "keygen",
    "link", "meta", "param", "source",
];
/// A tag with fewer attributes costs no comparisons that are worth counting.
const ATTRIBUTES_FREE: usize = 16;

/// The sink of the tokenizer.
pub(crate) struct Filter {
    builder: TreeBuilder<NodeId, Sink>,
    /// How many end tags of each name belong to start tags that were closed at once.
    closed: RefCell<BTreeMap<LocalName, usize>>,
    /// Comparisons of names of attributes, at most.
    comparisons: Cell<u64>,
    /// Separators in the chunk that is read, each of which may end the name of an attribute.
    chunk: Cell<u64>,
    /// The same, in all chunks that the current tag may be in.
    separators: Cell<u64>,
}

impl Filter {
    pub(crate) fn new(builder: TreeBuilder<NodeId, Sink>) -> Self {
        Self {
            builder,
            closed: RefCell::default(),
            comparisons: Cell::new(0),
            chunk: Cell::new(0),
            separators: Cell::new(0),
        }
    }

    /// Returns the tree.
    pub(crate) fn sink(&self) -> &Sink {
        &self.builder.sink
    }

    pub(crate) fn into_sink(self) -> Sink {
        self.builder.sink
    }

    /// Notes that the tokenizer is about to read this chunk. Returns whether its tags may have too many attributes.
    pub(crate) fn expect(&self, text: &str) -> bool {
        let is_separator =
            |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 12 | b'/' | b'"' | b'\'' | b'=');
        let count = text.as_bytes().iter().filter(|byte| is_separator(byte)).count() as u64;
        let separators = self.separators.get() + count;
        self.chunk.set(count);
        self.separators.set(separators);
        // An unfinished tag has been compared already, and a comment looks the same from here.
        self.comparisons.get() + separators * separators / 2 > ATTRIBUTE_COMPARISONS_MAX
    }

    fn start_tag(&self, mut tag: Tag) -> TokenSinkResult<NodeId> {
        if tag.attrs.len() > ATTRIBUTES_FREE {
            let comparisons = self.comparisons.get() + tag.attrs.len() as u64 * self.separators.get();
            self.comparisons.set(comparisons);
            tag.attrs.truncate(ATTRIBUTES_MAX);
        }
        tag.attrs.retain(|attribute| attribute.value.len() <= ATTRIBUTE_BYTES_MAX);
        let (name, is_void) = (tag.name.clone(), tag.self_closing || VOID.contains(&&*tag.name));

        self.sink().take_depth();
        let result = self.builder.process_token(Token::TagToken(tag), 1);
        let is_too_deep = self.sink().take_depth() > DEPTH_MAX;
        // The text of a script or a title is read in another state, which its end tag ends.
        if !is_too_deep || is_void || !matches!(result, TokenSinkResult::Continue) {
            return result;
        }
        *self.closed.borrow_mut().entry(name.clone()).or_default() += 1;
        let end = Tag {
            kind: EndTag,
            name,
            self_closing: false,
            attrs: Vec::new(),
            had_duplicate_attributes: false,
        };
        self.builder.process_token(Token::TagToken(end), 1)
    }

    /// Returns whether this end tag belongs to a start tag that was closed at once.
    fn was_closed(&self, name: &LocalName) -> bool {
        let mut closed = self.closed.borrow_mut();
        let Some(count) = closed.get_mut(name) else { return false };
        *count -= 1;
        if *count == 0 {
            closed.remove(name);
        }
        true
    }
}

impl TokenSink for Filter {
    type Handle = NodeId;

    // The line is always the first: nothing asks for it.
    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<NodeId> {
        if self.sink().is_full() {
            return TokenSinkResult::Continue;
        }
        let result = match token {
            Token::ParseError(_) => return TokenSinkResult::Continue,
            Token::CommentToken(_) => TokenSinkResult::Continue,
            Token::TagToken(tag) if tag.kind == StartTag => self.start_tag(tag),
            Token::TagToken(tag) if self.was_closed(&tag.name) => TokenSinkResult::Continue,
            token => self.builder.process_token(token, 1),
        };
        self.separators.set(self.chunk.get());
        result
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }
}
