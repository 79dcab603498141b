//! The bounds on a document and on its reply.
//!
//! Invariant: the work and the memory of every call are bounded by these constants, whatever the document holds. Each
//! bound leaves room for real pages, and says which blow-up it stops.

/// Longest document, in bytes as the client sent it.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Longest reply, in bytes. Indentation of nested lists and repeated base addresses can make it larger than the document.
pub const REPLY_BYTES_MAX: usize = 16 << 20;
/// Longest address that is resolved, and longest address that others are resolved against, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 4 << 10;
/// Characters of the name of an unknown option that an error shows.
pub const NAME_SHOWN_CHARS: usize = 64;

/// Deepest element. A start tag below it is kept, as a sibling; browsers do the same at 512.
///
/// The parser searches its stack of open elements for most tags, and the converters recurse once a level.
pub const DEPTH_MAX: usize = 256;
/// Deepest element after the repair of misnested tags, which moves whole subtrees down by a level at a time.
pub const DEPTH_REPAIRED_MAX: usize = 2 * DEPTH_MAX;
/// Most nodes of a document. Misnested formatting tags are copied into every following paragraph.
pub const NODES_MAX: usize = 400_000;
/// Length from which a text continues in another node, in bytes. The serialiser of `html5ever`, which Readability calls,
/// searches for the next angle bracket from each ampersand to the end of the node. Attributes are short for that, too.
pub const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most attributes that an element keeps.
pub const ATTRIBUTES_MAX: usize = 128;
/// Longest value of an attribute that an element keeps, in bytes. Longer ones are images within the page.
pub const ATTRIBUTE_BYTES_MAX: usize = 8 << 10;
/// Most comparisons of names of attributes. The tokenizer compares each name with all others of its tag.
pub const ATTRIBUTE_COMPARISONS_MAX: u64 = 1 << 30;

/// Sum over all text of its length times its depth, and times the number of links around it, in bytes. Readability reads the
/// text of every ancestor, and of every link within one.
pub const TEXT_LEVELS_MAX: usize = 1 << 30;
/// Sum over all nodes of their depth, for the same reason.
pub const NODE_LEVELS_MAX: usize = 1 << 25;

/// Length of the longest run of backslashes, across elements, times the number of nodes. The converter to Markdown looks back
/// over a run at the ends of elements.
pub const BACKSLASH_STEPS_MAX: usize = 1 << 30;

/// Longest title, in bytes. Readability compares it with every heading.
pub const TITLE_BYTES_MAX: usize = 256;
/// Longest value of a `meta` element, in bytes. A longer one is cut.
pub const METADATA_BYTES_MAX: usize = 4 << 10;
/// Most OpenGraph properties of a reply.
pub const PROPERTIES_MAX: usize = 256;
/// Most bytes of JSON-LD of a document that are read.
pub const JSON_LD_BYTES_MAX: usize = 1 << 20;
/// Most bytes of text from which the language is guessed.
pub const LANGUAGE_SAMPLE_BYTES: usize = 8 << 10;
