//! Builds the tree of a document, within the bounds on its depth and its nodes.
//!
//! Invariant: an element that the parser appends is never deeper than [`DEPTH_MAX`]; it becomes a sibling of the element
//! that the parser chose as its parent. Comments and parse errors are dropped, since nothing reads them.

use crate::limits::{ATTRIBUTES_MAX, DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX};
use dom_query::{Document, NodeData, NodeId, NodeRef};
use html5ever::{
    Attribute, QualName,
    tendril::StrTendril,
    tree_builder::{ElementFlags, NodeOrText, QuirksMode, TreeSink},
};
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

/// The tree under construction.
#[derive(Default)]
pub(crate) struct Sink {
    document: Document,
    /// The `template` element of each fragment with the contents of one, because such a fragment has no parent.
    templates: RefCell<BTreeMap<NodeId, NodeId>>,
    /// Depth that the parser chose for the element that it appended last.
    depth: Cell<usize>,
}

impl Sink {
    /// Returns whether the tree has more nodes than it may have.
    pub(crate) fn is_full(&self) -> bool {
        self.document.tree.len() > NODES_MAX
    }

    /// Returns the depth that the parser chose for the element that it appended last, and forgets it.
    pub(crate) fn take_depth(&self) -> usize {
        self.depth.take()
    }

    /// Returns a text as a node of its own, if the one that it would be added to is long enough.
    fn split(&self, previous: Option<NodeRef<'_>>, child: NodeOrText<NodeId>) -> NodeOrText<NodeId> {
        let len = previous.and_then(|node| {
            node.query(|node| match &node.data {
                NodeData::Text { contents } => contents.len(),
                _ => 0,
            })
        });
        match child {
            NodeOrText::AppendText(text) if len.is_some_and(|len| len >= TEXT_BYTES_MAX) => {
                NodeOrText::AppendNode(self.document.tree.new_text(text).id)
            }
            child => child,
        }
    }

    /// Returns the depth of a node, which is that of the document plus its ancestors.
    fn depth_of(&self, node: &NodeId) -> usize {
        let templates = self.templates.borrow();
        let (mut root, mut depth) = (*node, 0);
        loop {
            for ancestor in self.document.tree.ancestor_ids_of_it(&root, None) {
                (root, depth) = (ancestor, depth + 1);
            }
            match templates.get(&root) {
                Some(template) => (root, depth) = (*template, depth + 1),
                None => return depth,
            }
        }
    }
}

impl TreeSink for Sink {
    type Handle = NodeId;
    type Output = Document;
    type ElemName<'a> = <Document as TreeSink>::ElemName<'a>;

    fn finish(self) -> Document {
        self.document.finish()
    }

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> NodeId {
        self.document.get_document()
    }

    fn elem_name<'a>(&'a self, target: &'a NodeId) -> Self::ElemName<'a> {
        self.document.elem_name(target)
    }

    fn create_element(&self, name: QualName, attrs: Vec<Attribute>, flags: ElementFlags) -> NodeId {
        self.document.create_element(name, attrs, flags)
    }

    fn create_comment(&self, text: StrTendril) -> NodeId {
        self.document.create_comment(text)
    }

    fn create_pi(&self, target: StrTendril, data: StrTendril) -> NodeId {
        self.document.create_pi(target, data)
    }

    fn append(&self, parent: &NodeId, child: NodeOrText<NodeId>) {
        if !matches!(child, NodeOrText::AppendNode(_)) {
            let child = self.split(self.document.tree.last_child_of(parent), child);
            return self.document.append(parent, child);
        }
        let depth = self.depth_of(parent) + 1;
        self.depth.set(depth);
        let grandparent = match depth {
            ..=DEPTH_MAX => None,
            _ => self.document.tree.parent_of(parent).map(|node| node.id),
        };
        self.document.append(&grandparent.unwrap_or(*parent), child);
    }

    fn append_based_on_parent_node(&self, element: &NodeId, previous: &NodeId, child: NodeOrText<NodeId>) {
        if self.document.tree.parent_of(element).is_some() {
            self.append_before_sibling(element, child);
        } else {
            self.append(previous, child);
        }
    }

    fn append_doctype_to_document(&self, name: StrTendril, public_id: StrTendril, system_id: StrTendril) {
        self.document.append_doctype_to_document(name, public_id, system_id);
    }

    fn get_template_contents(&self, target: &NodeId) -> NodeId {
        let contents = self.document.get_template_contents(target);
        self.templates.borrow_mut().insert(contents, *target);
        contents
    }

    fn same_node(&self, x: &NodeId, y: &NodeId) -> bool {
        x == y
    }

    fn set_quirks_mode(&self, mode: QuirksMode) {
        self.document.set_quirks_mode(mode);
    }

    fn append_before_sibling(&self, sibling: &NodeId, child: NodeOrText<NodeId>) {
        if matches!(child, NodeOrText::AppendNode(_)) {
            self.depth.set(self.depth_of(sibling));
        }
        let child = self.split(self.document.tree.prev_sibling_of(sibling), child);
        self.document.append_before_sibling(sibling, child);
    }

    fn add_attrs_if_missing(&self, target: &NodeId, attrs: Vec<Attribute>) {
        // Every further `html` or `body` tag adds to the attributes of the first one.
        let count = self
            .document
            .tree
            .query_node_or(target, 0, |node| node.as_element().map_or(0, |e| e.attrs.len()));
        if count < ATTRIBUTES_MAX {
            self.document.add_attrs_if_missing(target, attrs);
        }
    }

    fn remove_from_parent(&self, target: &NodeId) {
        self.document.remove_from_parent(target);
    }

    fn reparent_children(&self, node: &NodeId, new_parent: &NodeId) {
        self.document.reparent_children(node, new_parent);
    }

    fn is_mathml_annotation_xml_integration_point(&self, handle: &NodeId) -> bool {
        self.document.is_mathml_annotation_xml_integration_point(handle)
    }
}
