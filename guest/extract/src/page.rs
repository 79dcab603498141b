//! A parsed page, before anything is removed from it: its head, its links, and its metadata.
//!
//! Invariant: the addresses of all links and images in the tree are resolved, and none is longer than an address may be.

use crate::{
    address::Base,
    encoding,
    envelope::Document,
    error::{Error, Limit},
    limits::{METADATA_BYTES_MAX, PROPERTIES_MAX, REPLY_BYTES_MAX, TITLE_BYTES_MAX},
    parse::{Walk, parse},
    reply::{Image, Link, Property},
};
use dom_query::{NodeRef, Tree};

/// A parsed page.
pub(crate) struct Page {
    /// The tree, which Readability takes apart.
    pub(crate) tree: dom_query::Document,
    /// Name of the encoding that the page was decoded from.
    pub(crate) encoding: &'static str,
    /// The head of the page.
    pub(crate) head: Head,
    /// What its addresses are resolved against.
    pub(crate) base: Base,
}

/// What the page says about itself outside its text.
#[derive(Default)]
pub(crate) struct Head {
    /// The attribute `lang` of the root, or what a `meta` element says.
    pub(crate) language: Option<String>,
    /// The address of `<link rel=canonical>`.
    pub(crate) canonical: Option<String>,
    /// The OpenGraph properties, in order.
    pub(crate) properties: Vec<Property>,
    /// The texts of the scripts with JSON-LD.
    pub(crate) json_ld: Vec<String>,
    /// The `datetime` of the first `time` element.
    pub(crate) time: Option<String>,
}

impl Page {
    /// Parses a document.
    ///
    /// # Errors
    /// Returns an error if the document exceeds a bound.
    pub(crate) fn new(document: &Document<'_>) -> Result<Self, Error> {
        let host = document.url.as_ref().and_then(|url| url.host_str());
        let (text, encoding) = encoding::decode(document.bytes, document.content_type.as_deref(), host);
        let tree = parse(&text)?;
        let base = Base::new(document.url.as_ref(), tree.base_uri().as_deref());
        let head = prepare(&tree.tree, &base)?;
        Ok(Self { tree, encoding, head, base })
    }
}

/// Reads the head, resolves all addresses, and shortens what Readability would compare with every heading.
fn prepare(tree: &Tree, base: &Base) -> Result<Head, Limit> {
    let mut head = Head::default();
    for (id, _) in Walk::new(tree, tree.root_id()) {
        let node = tree.get_unchecked(&id);
        let Some(name) = node.element_ref().map(|element| element.name.local.clone()) else { continue };
        match &*name {
            "html" => head.language = node.attr("lang").and_then(|language| short(&language)),
            "a" | "area" => resolve(&node, "href", base)?,
            "img" | "source" | "video" | "audio" | "iframe" | "embed" => resolve(&node, "src", base)?,
            "link" => {
                let is_canonical = node
                    .attr("rel")
                    .is_some_and(|rel| rel.split_ascii_whitespace().any(|rel| rel == "canonical"));
                if is_canonical && head.canonical.is_none() {
                    head.canonical = base.resolve(&node.attr_or("href", ""))?;
                }
            }
            "meta" => head.read_meta(&node, base)?,
            "time" if head.time.is_none() => {
                head.time = node.attr("datetime").and_then(|datetime| short(&datetime));
            }
            "script" if node.attr("type").is_some_and(|kind| kind.trim() == "application/ld+json") => {
                head.json_ld.push(node.text().to_string());
            }
            "title" => shorten(&node),
            // Readability takes the first one for the title if there is no other. Some pages never close it.
            "h1" if node.text().len() > TITLE_BYTES_MAX => node.rename("div"),
            _ => {}
        }
    }
    Ok(head)
}

impl Head {
    fn read_meta(&mut self, node: &NodeRef<'_>, base: &Base) -> Result<(), Limit> {
        let Some(content) = node.attr("content") else { return Ok(()) };
        let key =
            node.attr("property").or_else(|| node.attr("name")).unwrap_or_default().to_ascii_lowercase();
        let key = key.trim();
        let len_max = if key.contains("title") { TITLE_BYTES_MAX } else { METADATA_BYTES_MAX };
        let content = start(content.trim(), len_max).to_owned();
        if content.is_empty() {
            return Ok(());
        }
        node.set_attr("content", &content);
        if self.language.is_none()
            && node.attr("http-equiv").is_some_and(|name| name.eq_ignore_ascii_case("content-language"))
        {
            self.language = Some(content.clone());
        }
        let is_open_graph =
            ["og:", "article:", "book:", "profile:", "twitter:"].iter().any(|prefix| key.starts_with(prefix));
        if is_open_graph && key.len() <= 128 && self.properties.len() < PROPERTIES_MAX {
            let is_address = matches!(key, "og:url" | "og:image" | "og:video" | "og:audio" | "twitter:image");
            let content = if is_address { base.resolve(&content)? } else { Some(content) };
            self.properties.extend(content.map(|content| Property { property: key.to_owned(), content }));
        }
        Ok(())
    }

    /// Returns the first OpenGraph property of one of these names.
    pub(crate) fn property(&self, names: &[&str]) -> Option<String> {
        let found =
            names.iter().find_map(|name| self.properties.iter().find(|found| found.property == *name));
        found.map(|found| found.content.clone())
    }
}

/// Replaces an address by the one that it stands for.
pub(crate) fn resolve(node: &NodeRef<'_>, attribute: &str, base: &Base) -> Result<(), Limit> {
    let Some(address) = node.attr(attribute) else { return Ok(()) };
    match base.resolve(&address)? {
        Some(resolved) if *resolved != *address => node.set_attr(attribute, &resolved),
        Some(_) => {}
        // Readability replaces links to programs by their text, and needs to see them.
        None if attribute == "href" && address.len() < 128 => {}
        None => node.remove_attr(attribute),
    }
    Ok(())
}

/// Returns a value without the spaces around it, or `None` if it is empty or too long.
fn short(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty() && value.len() <= METADATA_BYTES_MAX).then(|| value.to_owned())
}

/// Returns the start of a text, at most so many bytes of it.
pub(crate) fn start(text: &str, len_max: usize) -> &str {
    &text[..text.floor_char_boundary(len_max)]
}

fn shorten(title: &NodeRef<'_>) {
    let text = title.text();
    if text.len() > TITLE_BYTES_MAX {
        title.set_text(start(&text, TITLE_BYTES_MAX));
    }
}

/// Returns the links below a node, in order.
///
/// # Errors
/// Returns the bound if their texts are too long together, since links can hold links.
pub(crate) fn links(root: &NodeRef<'_>) -> Result<Vec<Link>, Limit> {
    let mut links = Vec::new();
    let mut bytes_left = REPLY_BYTES_MAX;
    for (id, _) in Walk::new(root.tree, root.id) {
        let node = root.tree.get_unchecked(&id);
        let text = match node.element_ref().map(|element| element.name.local.clone()) {
            Some(name) if &*name == "a" => node.text(),
            Some(name) if &*name == "area" => node.attr_or("alt", ""),
            _ => continue,
        };
        let Some(url) = node.attr("href").filter(|href| !is_program(href)) else { continue };
        bytes_left = bytes_left.checked_sub(text.len() + url.len()).ok_or(Limit::Reply)?;
        let rel = node.attr("rel").and_then(|rel| short(&rel));
        links.push(Link { url: url.to_string(), text: words(&text), rel });
    }
    Ok(links)
}

/// Returns the images below a node, in order.
pub(crate) fn images(root: &NodeRef<'_>) -> Vec<Image> {
    let nodes = Walk::new(root.tree, root.id).map(|(id, _)| root.tree.get_unchecked(&id));
    let images = nodes.filter(|node| node.has_name("img"));
    let images = images.filter_map(|node| {
        let url = node.attr("src")?.to_string();
        Some(Image { url, alt: words(&node.attr_or("alt", "")) })
    });
    images.collect()
}

fn is_program(href: &str) -> bool {
    let href = href.trim_start();
    href.is_empty() || href.get(..11).is_some_and(|start| start.eq_ignore_ascii_case("javascript:"))
}

/// Joins the words of a text by single spaces.
pub(crate) fn words(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined
}
