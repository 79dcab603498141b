//! Checks whether instances map their memory copy-on-write. It asks the kernel, because the engine reports no fallback
//! to copying.

use crate::imports;
use std::{fs, io, ops::Range};
use wasmtime::{Module, Store};

/// How an instance gets the initial contents of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOnWrite {
    /// A part of its memory is a private mapping of the native code file.
    Mapped {
        /// Size of the mapped part in bytes.
        bytes: u64,
    },
    /// The image has no initialised memory.
    Nothing,
    /// Every instance copies its memory.
    Copied,
}

impl CopyOnWrite {
    /// Returns whether instances are made without copying their memory.
    #[must_use]
    pub fn holds(self) -> bool {
        self != Self::Copied
    }
}

/// Makes an instance and checks whether a file backs its memory.
pub(crate) fn probe(module: &Module) -> wasmtime::Result<CopyOnWrite> {
    let mut store = Store::new(module.engine(), ());
    // Nothing runs: images have no start function.
    store.set_epoch_deadline(u64::MAX >> 1);
    let instance = imports::traps(module)?.instantiate(&mut store, module)?;
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

/// Returns the number of bytes of an address range that are mapped from a file or a memfd.
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

/// Parses a line of `/proc/self/maps`: `address perms offset dev inode pathname`. Source: proc(5).
fn parse(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let inode = fields.nth(3)?.parse().ok()?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some(Mapping { range: address(start)?..address(end)?, inode })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Config, Engine};

    const DATA: &str = r#"(module (memory (export "memory") 1) (data (i32.const 70) "initialised"))"#;

    fn probed(config: &Config, text: &str) -> CopyOnWrite {
        let engine = Engine::new(config).expect("an engine");
        let module = Module::new(&engine, wat::parse_str(text).expect("valid text")).expect("a module");
        probe(&module).expect("an instance")
    }

    #[test]
    fn the_loss_of_copy_on_write_is_detected() {
        let mut config = Config::new();
        config.concurrency_support(false).epoch_interruption(true);
        assert!(matches!(probed(&config, DATA), CopyOnWrite::Mapped { bytes } if bytes >= 4096));
        config.memory_init_cow(false);
        assert_eq!(probed(&config, DATA), CopyOnWrite::Copied);
        let empty = r#"(module (memory (export "memory") 1))"#;
        assert_eq!(probed(&config, empty), CopyOnWrite::Nothing);
    }

    #[test]
    fn lines_of_proc_maps_are_parsed() {
        let line = "7f12a0000000-7f12a0021000 rw-p 00001000 fe:01 1234    /some/file with spaces";
        let mapping = parse(line).expect("a mapping");
        assert_eq!((mapping.range, mapping.inode), (0x7f12_a000_0000..0x7f12_a002_1000, 1234));
        assert_eq!(parse("7ffc-7ffd rw-p 00000000 00:00 0 [stack]").expect("a mapping").inode, 0);
        assert!(parse("").is_none() && parse("zz-yy rw-p 0 0 0").is_none());
    }
}
