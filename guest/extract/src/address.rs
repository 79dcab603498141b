//! Resolves the addresses of a document against its URL.
//!
//! Invariant: all addresses of one document together are no longer than a reply may be.

use crate::{
    error::Limit,
    limits::{ADDRESS_BYTES_MAX, REPLY_BYTES_MAX},
};
use std::cell::Cell;
use url::Url;

/// Schemes whose addresses are programs or data, which lead nowhere.
const NOT_ADDRESSES: [&str; 4] = ["javascript:", "vbscript:", "data:", "blob:"];

/// What the addresses of one document are resolved against.
pub(crate) struct Base {
    url: Option<Url>,
    bytes_left: Cell<usize>,
}

impl Base {
    /// Creates the base of a document with this URL, whose first `base` element has this address.
    pub(crate) fn new(url: Option<&Url>, element: Option<&str>) -> Self {
        let element = element.filter(|href| href.len() <= ADDRESS_BYTES_MAX).and_then(|href| match url {
            Some(url) => url.join(href.trim()).ok(),
            None => Url::parse(href.trim()).ok(),
        });
        let url = element.or_else(|| url.cloned()).filter(|url| !url.cannot_be_a_base());
        Self { url, bytes_left: Cell::new(REPLY_BYTES_MAX) }
    }

    /// Resolves an address. Returns `None` for one that leads nowhere. An address stays relative if the document has no
    /// URL.
    ///
    /// # Errors
    /// Returns the bound if the addresses of the document are too long together.
    pub(crate) fn resolve(&self, address: &str) -> Result<Option<String>, Limit> {
        let address = address.trim();
        let leads_nowhere = |scheme: &&str| {
            address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        if address.is_empty() || address.len() > ADDRESS_BYTES_MAX || NOT_ADDRESSES.iter().any(leads_nowhere)
        {
            return Ok(None);
        }
        let resolved = match &self.url {
            Some(url) => url.join(address).map(String::from),
            None => Url::parse(address).map(String::from),
        };
        let resolved = resolved.unwrap_or_else(|_| address.to_owned());
        let left = self.bytes_left.get().checked_sub(resolved.len()).ok_or(Limit::Reply)?;
        self.bytes_left.set(left);
        Ok(Some(resolved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(url: Option<&str>, element: Option<&str>, address: &str) -> Option<String> {
        let url = url.map(|url| Url::parse(url).expect("a URL"));
        Base::new(url.as_ref(), element).resolve(address).expect("within the bounds")
    }

    #[test]
    fn addresses_are_resolved_against_the_element_or_the_document() {
        let url = Some("https://example.org/a/b");
        assert_eq!(resolved(url, None, " ../c?d#e ").as_deref(), Some("https://example.org/c?d#e"));
        assert_eq!(resolved(url, Some("/x/"), "c").as_deref(), Some("https://example.org/x/c"));
        assert_eq!(
            resolved(None, Some("https://b.example/x/"), "c").as_deref(),
            Some("https://b.example/x/c")
        );
        assert_eq!(resolved(None, None, "c").as_deref(), Some("c"));
        assert_eq!(resolved(url, Some("mailto:a@b"), "mailto:c@d").as_deref(), Some("mailto:c@d"));
    }

    #[test]
    fn programs_and_data_lead_nowhere() {
        for address in
            ["", " ", "JavaScript:alert(1)", "data:text/plain,a", &"a".repeat(ADDRESS_BYTES_MAX + 1)]
        {
            assert_eq!(resolved(Some("https://example.org/"), None, address), None);
        }
    }
}
