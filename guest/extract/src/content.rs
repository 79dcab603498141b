//! The content of a page: the main part, which Readability finds, or all of it; as Markdown or as text.
//!
//! Invariant: the length of Markdown is estimated before it is written, because every line of a list repeats the
//! indentation of all lists around it.

use crate::{
    address::Base,
    error::Limit,
    limits::{BACKSLASH_STEPS_MAX, REPLY_BYTES_MAX},
    page::resolve,
    parse::Walk,
};
use dom_query::{Document, NodeData, NodeRef};
use dom_smoothie::{Config, Metadata, Readability};

/// Element around the main content in the tree that Readability leaves.
const MAIN: &str = "#readability-page-1";

/// The content of a page.
pub(crate) struct Content {
    tree: Document,
    /// Whether [`MAIN`] is the content, and not the body.
    is_main: bool,
    /// What Readability found out about the page.
    pub(crate) metadata: Metadata,
}

impl Content {
    /// Returns the main content. It is empty if the page has none.
    ///
    /// # Errors
    /// Returns the bound if the addresses of its images are too long together.
    pub(crate) fn main(tree: Document, base: &Base) -> Result<Self, Limit> {
        // The crate reads JSON-LD with a parser that accepts what is not JSON; `json_ld` reads it instead.
        // A class names the language of a code block.
        prepare_embeds(&tree);
        let config = Config { disable_json_ld: true, keep_classes: true, ..Config::default() };
        let mut readability = Readability::with_document(tree, None, Some(config))
            .expect("no URL, and so no URL that is not absolute");
        let article = readability.parse().ok();
        let metadata = article.map(|article| Metadata {
            title: article.title,
            byline: article.byline,
            excerpt: article.excerpt,
            site_name: article.site_name,
            published_time: article.published_time,
            modified_time: article.modified_time,
            image: article.image,
            favicon: article.favicon,
            lang: article.lang,
            url: article.url,
            dir: article.dir,
        });
        let main = Self { tree: readability.doc, is_main: true, metadata: metadata.unwrap_or_default() };
        // Readability gives images that load late the addresses that other attributes hold.
        if let Some(root) = main.root() {
            for (id, _) in Walk::new(root.tree, root.id) {
                let node = root.tree.get_unchecked(&id);
                if node.has_name("img") {
                    resolve(&node, "src", base)?;
                }
            }
        }
        Ok(main)
    }

    /// Returns the whole page.
    pub(crate) fn page(tree: Document) -> Self {
        tree.select("script, style, noscript, template").remove();
        Self { tree, is_main: false, metadata: Metadata::default() }
    }

    /// Returns the element that holds the content.
    pub(crate) fn root(&self) -> Option<NodeRef<'_>> {
        if self.is_main { self.tree.select_single(MAIN).nodes().first().copied() } else { self.tree.body() }
    }

    /// Returns the content as text, with an empty line between blocks.
    pub(crate) fn text(&self) -> String {
        self.root().map(|root| root.formatted_text().trim().to_owned()).unwrap_or_default()
    }

    /// Returns the content as Markdown.
    ///
    /// # Errors
    /// Returns the bound if it might be too long, or take too long.
    pub(crate) fn markdown(&self) -> Result<String, Limit> {
        let Some(root) = self.root() else { return Ok(String::new()) };
        if markdown_bytes(&root) > 2 * REPLY_BYTES_MAX {
            return Err(Limit::Reply);
        }
        if backslash_steps(&root) > BACKSLASH_STEPS_MAX {
            return Err(Limit::Backslashes);
        }
        Ok(root.md(None).trim().to_owned())
    }
}

/// Takes out what is not ASCII where Readability looks for addresses of videos: attributes of embedded content, and what an
/// object holds. It cuts such a text a few bytes before the address, and would panic within a character.
fn prepare_embeds(document: &Document) {
    let tree = &document.tree;
    let mut object = None;
    for (id, depth) in Walk::new(tree, tree.root_id()) {
        if object.is_some_and(|object| depth > object) {
            continue;
        }
        object = None;
        let node = tree.get_unchecked(&id);
        if !["object", "embed", "iframe"].iter().any(|name| node.has_name(name)) {
            continue;
        }
        for attribute in node.attrs().iter().filter(|attribute| !attribute.value.is_ascii()) {
            node.remove_attr(&attribute.name.local);
        }
        if node.has_name("object") {
            if node.inner_html().is_ascii() {
                // Nothing in it has to be looked at again.
                object = Some(depth);
            } else {
                node.remove_children();
            }
        }
    }
}

/// Returns the length of the longest run of backslashes below an element times the number of nodes.
fn backslash_steps(root: &NodeRef<'_>) -> usize {
    let (mut nodes, mut run, mut longest) = (0_usize, 0_usize, 0_usize);
    for (id, _) in Walk::new(root.tree, root.id) {
        nodes += 1;
        root.tree.query_node(&id, |node| {
            let NodeData::Text { contents } = &node.data else { return };
            for byte in contents.bytes() {
                run = if byte == b'\\' { run + 1 } else { 0 };
                longest = longest.max(run);
            }
        });
    }
    nodes.saturating_mul(longest)
}

/// Returns at least the length of the Markdown of an element, in bytes.
fn markdown_bytes(root: &NodeRef<'_>) -> usize {
    let mut bytes = 0_usize;
    // Width of the indentation at each element around the current node.
    let mut widths = vec![0_usize];
    for (id, depth) in Walk::new(root.tree, root.id) {
        widths.truncate(depth);
        let width = widths.last().copied().unwrap_or(0);
        let (len, indents) = root.tree.query_node_or(&id, (0, false), |node| match &node.data {
            NodeData::Text { contents } => {
                let lines = contents.bytes().filter(|byte| *byte == b'\n').count();
                (2 * contents.len() + lines * width, false)
            }
            NodeData::Element(element) => {
                let attributes: usize = element.attrs.iter().map(|attribute| attribute.value.len()).sum();
                let indents = matches!(&*element.name.local, "ul" | "ol" | "li" | "blockquote");
                (32 + 2 * width + 2 * attributes, indents)
            }
            _ => (0, false),
        });
        bytes = bytes.saturating_add(len);
        // The number of an ordered item has up to nine digits.
        widths.push(if indents { width + 12 } else { width });
    }
    bytes
}
