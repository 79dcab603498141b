//! Whether copy-on-write holds: asked of the kernel, because the engine loses it without a word.

use std::{fs, io, ops::Range};
use wasmtime::{Module, Store};

/// How an instance comes by the initial contents of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOnWrite {
    /// That many bytes of its memory are a private mapping of the native code file.
    Mapped {
        /// Bytes mapped.
        bytes: u64,
    },
    /// The image has no initialised memory.
    Nothing,
    /// Every instance copies its memory.
    Copied,
}

impl CopyOnWrite {
    /// Whether instances are as cheap as they are meant to be.
    #[must_use]
    pub fn holds(self) -> bool {
        self != Self::Copied
    }
}

/// Makes an instance and looks at what backs its memory.
pub(crate) fn probe(module: &Module) -> wasmtime::Result<CopyOnWrite> {
    let mut store = Store::new(module.engine(), ());
    store.set_epoch_deadline(u64::MAX >> 1);
    let mut linker = wasmtime::Linker::new(module.engine());
    linker.define_unknown_imports_as_traps(module)?;
    let instance = linker.instantiate(&mut store, module)?;
    let Some(memory) = instance.get_memory(&mut store, snapback_abi::EXPORT_MEMORY) else {
        return Ok(CopyOnWrite::Nothing);
    };
    let data = memory.data(&store);
    let start = data.as_ptr().addr() as u64;
    let mapped = file_backed(start..start + data.len() as u64)?;
    Ok(match mapped {
        0 if data.iter().all(|byte| *byte == 0) => CopyOnWrite::Nothing,
        0 => CopyOnWrite::Copied,
        bytes => CopyOnWrite::Mapped { bytes },
    })
}

/// Bytes of an address range that are mapped from a file (or a memfd).
fn file_backed(range: Range<u64>) -> io::Result<u64> {
    Ok(fs::read_to_string("/proc/self/maps")?
        .lines()
        .filter_map(parse)
        .filter(|mapping| mapping.inode != 0)
        .map(|mapping| {
            let (start, end) = (mapping.range.start.max(range.start), mapping.range.end.min(range.end));
            end.saturating_sub(start)
        })
        .sum())
}

struct Mapping {
    range: Range<u64>,
    inode: u64,
}

/// A line of proc(5) `maps`: `address perms offset dev inode pathname`.
fn parse(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let inode = fields.nth(3)?.parse().ok()?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some(Mapping { range: address(start)?..address(end)?, inode })
}
