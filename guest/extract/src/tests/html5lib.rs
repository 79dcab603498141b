//! The tests of html5lib for the construction of trees, which browsers pass too.
//!
//! They are in the crate `markup5ever_arcdom` 0.1.0. Fragments and pages with scripts are left out: the guest parses whole
//! documents, and runs no scripts.

use super::gathered;
use crate::parse::parse;
use dom_query::{Document, Element, NodeData, NodeId};
use html5ever::{ParseOpts, parse_document, tendril::TendrilSink, tree_builder::TreeBuilderOpts};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A page, and the tree that it stands for.
struct Case {
    page: String,
    tree: String,
}

/// Reads the cases of a file. Its lines `#data` begin a case, and other lines with `#` its sections.
fn cases(file: &str) -> Vec<Case> {
    let after = |case: &str, section: &str, next: &str| {
        let begin = case.find(section)? + section.len();
        let end = case[begin..].find(next).map_or(case.len(), |end| begin + end);
        Some(case[begin..end].to_owned())
    };
    let cases = format!("\n{file}");
    let cases = cases.split("\n#data\n").skip(1);
    cases
        .filter(|case| !case.contains("\n#document-fragment\n") && !case.contains("\n#script-on\n"))
        .filter_map(|case| {
            let case = format!("#data\n{case}");
            let page = after(&case, "#data\n", "\n#errors")?;
            let tree = after(&case, "\n#document\n", "\u{0}")?;
            Some(Case { page, tree: tree.trim_end_matches('\n').to_owned() })
        })
        .collect()
}

/// Writes a tree as html5lib does: a line for each node, which is indented by two spaces for each ancestor.
fn dump(document: &Document) -> String {
    let mut lines = Vec::new();
    children(document, &document.tree.root_id(), 0, &mut lines);
    lines.join("\n")
}

fn children(document: &Document, parent: &NodeId, depth: usize, lines: &mut Vec<String>) {
    let indent = format!("| {}", "  ".repeat(depth));
    let mut text: Option<String> = None;
    let ids: Vec<NodeId> = document.tree.child_ids_of_it(parent, false).collect();
    for id in ids {
        let line = document.tree.query_node_or(&id, None, |node| match &node.data {
            NodeData::Text { contents } => {
                // A long text is several nodes here, and one there.
                text.get_or_insert_default().push_str(contents);
                None
            }
            NodeData::Doctype { name, public_id, system_id } => {
                let ids = match (&**public_id, &**system_id) {
                    ("", "") => String::new(),
                    (public, system) => format!(" \"{public}\" \"{system}\""),
                };
                Some(format!("<!DOCTYPE {name}{ids}>"))
            }
            NodeData::Comment { contents } => Some(format!("<!-- {contents} -->")),
            NodeData::Element(element) => {
                Some(format!("<{}>", qualified(&element.name.ns, &element.name.local)))
            }
            NodeData::Document | NodeData::Fragment | NodeData::ProcessingInstruction { .. } => None,
        });
        let Some(line) = line else { continue };
        lines.extend(text.take().map(|text| format!("{indent}\"{text}\"")));
        lines.push(format!("{indent}{line}"));
        let below =
            document.tree.query_node_or(&id, None, |node| node.as_element().map(attributes_and_contents));
        if let Some((attributes, contents)) = below {
            lines.extend(attributes.into_iter().map(|attribute| format!("{indent}  {attribute}")));
            if let Some(contents) = contents {
                lines.push(format!("{indent}  content"));
                children(document, &contents, depth + 2, lines);
            }
        }
        children(document, &id, depth + 1, lines);
    }
    lines.extend(text.map(|text| format!("{indent}\"{text}\"")));
}

/// Returns a name after the prefix of its vocabulary, which HTML has none of.
fn qualified(namespace: &str, local: &str) -> String {
    match namespace {
        "http://www.w3.org/2000/svg" => format!("svg {local}"),
        "http://www.w3.org/1998/Math/MathML" => format!("math {local}"),
        "http://www.w3.org/1999/xlink" => format!("xlink {local}"),
        "http://www.w3.org/XML/1998/namespace" => format!("xml {local}"),
        "http://www.w3.org/2000/xmlns/" => format!("xmlns {local}"),
        _ => local.to_owned(),
    }
}

fn attributes_and_contents(element: &Element) -> (Vec<String>, Option<NodeId>) {
    let line = |attribute: &html5ever::Attribute| {
        format!("{}=\"{}\"", qualified(&attribute.name.ns, &attribute.name.local), attribute.value)
    };
    let mut attributes: Vec<_> = element.attrs.iter().map(line).collect();
    attributes.sort_unstable();
    (attributes, element.template_contents)
}

/// Returns a tree without its comments, which this guest drops; the texts on both sides of one are one text.
fn without_comments(tree: &str) -> String {
    let mut nodes: Vec<String> = Vec::new();
    let begin = if tree.is_empty() { "" } else { tree.strip_prefix("| ").expect("a tree") };
    for node in begin.split("\n| ") {
        let bare = node.trim_start();
        let indent = &node[..node.len() - bare.len()];
        if bare.starts_with("<!-- ") {
            continue;
        }
        match (nodes.last_mut(), bare.strip_prefix('"')) {
            (Some(before), Some(text)) if before.starts_with(&format!("{indent}\"")) => {
                before.truncate(before.len() - 1);
                before.push_str(text);
            }
            _ => nodes.push(node.to_owned()),
        }
    }
    nodes.join("\n| ")
}

/// Parses a page with the library alone, without what this guest puts before and after it.
fn unbounded(page: &str) -> Document {
    let tree_builder = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
    parse_document(Document::default(), ParseOpts { tree_builder, ..ParseOpts::default() }).one(page)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "dat"));
    files.sort();
    files
}

#[test]
fn trees_are_those_of_html5lib() {
    let Some(directory) = gathered("html5lib") else { return };
    let (mut count, mut right, mut library_right) = (0, 0, 0);
    for path in files(&directory) {
        for Case { page, tree } in cases(&fs::read_to_string(&path).expect("a file of tests")) {
            let library = without_comments(&dump(&unbounded(&page)));
            let ours = without_comments(&dump(&parse(&page).expect("within the bounds")));
            let tree = without_comments(&tree);
            // Some cases are older than today's standard, which the library follows.
            assert_eq!(ours, library, "{}: {page}", path.display());
            count += 1;
            right += usize::from(ours == tree);
            library_right += usize::from(library == tree);
        }
    }
    println!("{count} pages: {right} trees as html5lib has them, {library_right} by html5ever alone");
    assert!(count > 1000, "{count} cases");
    assert!(right * 100 >= count * 95, "{right} of {count}");
}
