//! Reads JSON-LD: all of it for the reply, and what it says about an article.
//!
//! Invariant: a value nests at most 128 deep, which `serde_json` ensures, so that whoever reads the reply need not.

use crate::limits::JSON_LD_BYTES_MAX;
use serde_json::Value;

/// What JSON-LD says about the article of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Article {
    pub(crate) title: Option<String>,
    pub(crate) byline: Option<String>,
    pub(crate) published: Option<String>,
    pub(crate) modified: Option<String>,
    pub(crate) excerpt: Option<String>,
    pub(crate) site: Option<String>,
    pub(crate) language: Option<String>,
}

/// Returns the values of these scripts, without those that are not JSON.
pub(crate) fn read(scripts: &[String]) -> Vec<Value> {
    let mut bytes_left = JSON_LD_BYTES_MAX;
    let mut values = Vec::new();
    for script in scripts {
        let Some(left) = bytes_left.checked_sub(script.len()) else { break };
        bytes_left = left;
        // Old pages hide scripts from older browsers.
        let script = script.trim().trim_start_matches("<![CDATA[").trim_end_matches("]]>");
        values.extend(serde_json::from_str::<Value>(script));
    }
    values
}

/// Returns what the first article among these values says about itself.
pub(crate) fn article(values: &[Value]) -> Article {
    let top = values.iter().flat_map(elements);
    let all = top
        .flat_map(|value| std::iter::once(value).chain(value.get("@graph").into_iter().flat_map(elements)));
    let Some(found) = all.into_iter().find(|value| is_article(value)) else { return Article::default() };
    let text = |key: &str| found.get(key).and_then(text);
    Article {
        title: text("headline").or_else(|| text("name")),
        byline: found.get("author").and_then(names),
        published: text("datePublished"),
        modified: text("dateModified"),
        excerpt: text("description"),
        site: found.get("publisher").and_then(names),
        language: text("inLanguage"),
    }
}

/// Returns the elements of an array, or the one value.
fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

fn is_article(value: &Value) -> bool {
    let kinds = value.get("@type").into_iter().flat_map(elements).filter_map(Value::as_str);
    kinds.into_iter().any(|kind| kind.ends_with("Article") || kind.ends_with("Posting") || kind == "Report")
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the names of persons or organisations, joined by commas.
fn names(value: &Value) -> Option<String> {
    let name = |value: &Value| text(value.get("name").unwrap_or(value));
    let names: Vec<_> = elements(value).iter().filter_map(name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_is_found_wherever_it_is() {
        let article_of = |script: &str| article(&read(&[script.to_owned()]));
        let plain = r#"{"@type": "NewsArticle", "headline": " A ", "author": [{"name": "B"}, "C"]}"#;
        let found = article_of(plain);
        assert_eq!((found.title.as_deref(), found.byline.as_deref()), (Some("A"), Some("B, C")));
        assert_eq!(article_of(&format!("[1, {plain}]")), found);
        assert_eq!(article_of(&format!(r#"{{"@graph": [{{}}, {plain}]}}"#)), found);
        assert_eq!(article_of(&format!("<![CDATA[{plain}]]>")), found);
        assert_eq!(article_of(r#"{"@type": "Person", "name": "D"}"#), Article::default());
    }

    #[test]
    fn what_is_not_json_or_nests_too_deeply_is_left_out() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(read(&["{".into(), deep, "[".repeat(1 << 20)]).is_empty());
        assert_eq!(read(&["1".into(), " ".repeat(JSON_LD_BYTES_MAX), "2".into()]), [1]);
    }
}
