//! Parses the text of a document into a tree, in time and memory that its length bounds.
//!
//! Invariant: whoever gets a tree from here may recurse over it, and may do work at each node for all its ancestors.

use crate::{
    error::Limit,
    filter::Filter,
    limits::{DEPTH_REPAIRED_MAX, NODE_LEVELS_MAX, TEXT_LEVELS_MAX},
    sink::Sink,
};
use dom_query::{Document, NodeData, NodeId, Tree};
use html5ever::{
    TokenizerResult,
    buffer_queue::BufferQueue,
    tendril::StrTendril,
    tokenizer::{Tokenizer, TokenizerOpts},
    tree_builder::{TreeBuilder, TreeBuilderOpts, TreeSink},
};

/// The text is read in chunks of this length. Bounds are checked between them.
const CHUNK_BYTES: usize = 4 << 10;

/// Parses a document.
///
/// # Errors
/// Returns the bound that the document exceeds.
pub(crate) fn parse(text: &str) -> Result<Document, Limit> {
    // Without scripting, the contents of `noscript` are elements, which hold the images of pages that load them late.
    let options = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
    let filter = Filter::new(TreeBuilder::new(Sink::default(), options));
    let tokenizer = Tokenizer::new(filter, TokenizerOpts::default());

    let queue = BufferQueue::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(rest.floor_char_boundary(CHUNK_BYTES));
        rest = tail;
        if tokenizer.sink.expect(chunk) {
            return Err(Limit::Attributes);
        }
        queue.push_back(StrTendril::from_slice(chunk));
        // The tokenizer stops at scripts and at declarations of an encoding. Neither matters here.
        while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
        if tokenizer.sink.sink().is_full() {
            return Err(Limit::Nodes);
        }
    }
    tokenizer.end();
    let sink = tokenizer.sink.into_sink();
    if sink.is_full() {
        return Err(Limit::Nodes);
    }
    let document = sink.finish();
    check(&document.tree)?;
    Ok(document)
}

/// Checks the work that a function does which reads, at each node, all text below it, and that of each link below it.
fn check(tree: &Tree) -> Result<(), Limit> {
    let (mut nodes, mut text) = (0_usize, 0_usize);
    // The number of links around the children of each element around the current node.
    let mut links = vec![0_usize];
    for (id, depth) in Walk::new(tree, tree.root_id()) {
        links.truncate(depth);
        let around = links.last().copied().unwrap_or(0);
        let (len, is_link) = tree.query_node_or(&id, (0, false), |node| match &node.data {
            NodeData::Text { contents } => (contents.len(), false),
            NodeData::Element(element) => (0, &*element.name.local == "a"),
            _ => (0, false),
        });
        links.push(around + usize::from(is_link));
        let read = len.saturating_mul(depth).saturating_mul(around.max(1));
        (nodes, text) = (nodes.saturating_add(depth), text.saturating_add(read));
        if depth > DEPTH_REPAIRED_MAX || nodes > NODE_LEVELS_MAX || text > TEXT_LEVELS_MAX {
            return Err(Limit::Depth);
        }
    }
    Ok(())
}

/// The descendants of a node in document order, each with its depth below the node.
pub(crate) struct Walk<'a> {
    tree: &'a Tree,
    next: Vec<(NodeId, usize)>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(tree: &'a Tree, root: NodeId) -> Self {
        let mut walk = Self { tree, next: Vec::new() };
        walk.push_children(&root, 1);
        walk
    }

    fn push_children(&mut self, id: &NodeId, depth: usize) {
        self.next.extend(self.tree.child_ids_of_it(id, true).map(|child| (child, depth)));
    }
}

impl Iterator for Walk<'_> {
    type Item = (NodeId, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let (id, depth) = self.next.pop()?;
        self.push_children(&id, depth + 1);
        Some((id, depth))
    }
}
