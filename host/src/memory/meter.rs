//! The linear memory of one instance: its size, its limit, and the refusal to grow beyond it.
//!
//! Invariant: growth beyond the limit stops the call with [`OutOfMemory`]. A refused `memory.grow` would instead make
//! the guest abort in a way that looks like any other trap.

use std::sync::Arc;
use wasmtime::ResourceLimiter;

/// Most elements that a guest's table may have.
const TABLE_ELEMENTS_MAX: usize = 1 << 16;

/// Called at every growth with the new size of the memory in bytes.
pub(crate) type GrowthListener = Arc<dyn Fn(u64) + Send + Sync>;

/// The memory meter of one instance.
pub struct Meter {
    limit_bytes: u64,
    now_bytes: u64,
    listener: Option<GrowthListener>,
}

/// A guest asked for more memory than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest has {peak_bytes} bytes of memory, needs {wanted_bytes} and may have {limit_bytes}")]
pub struct OutOfMemory {
    /// Size of the memory when it asked for more.
    pub peak_bytes: u64,
    /// Size of the memory after the growth it asked for.
    pub wanted_bytes: u64,
    /// The limit: the host's, or the module's own maximum where that is lower.
    pub limit_bytes: u64,
}

impl Meter {
    /// Creates a meter for an instance that may have `limit_bytes` of linear memory.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, now_bytes: 0, listener: None }
    }

    /// Size of the linear memory in bytes. It never shrinks, so this is also the peak.
    #[must_use]
    pub fn now_bytes(&self) -> u64 {
        self.now_bytes
    }

    /// Size in bytes that the linear memory may reach.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Reports the current size and every later growth to `listener`.
    pub(crate) fn set_listener(&mut self, listener: &GrowthListener) {
        listener(self.now_bytes);
        self.listener = Some(Arc::clone(listener));
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted_bytes = desired as u64;
        let limit_bytes = maximum.map_or(self.limit_bytes, |maximum| self.limit_bytes.min(maximum as u64));
        if wanted_bytes > limit_bytes {
            return Err(OutOfMemory { peak_bytes: self.now_bytes, wanted_bytes, limit_bytes }.into());
        }
        self.now_bytes = wanted_bytes;
        if let Some(listener) = &self.listener {
            listener(wanted_bytes);
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn granted_growth_fits_every_limit(limit in 0u64..1 << 33, growths: Vec<(u32, Option<u32>)>) {
            let mut meter = Meter::new(limit);
            for (desired, maximum) in growths {
                let (desired, maximum) = (desired as usize, maximum.map(|max| max as usize));
                let before = meter.now_bytes();
                match meter.memory_growing(before as usize, desired, maximum) {
                    Ok(granted) => {
                        prop_assert!(granted && desired as u64 <= limit);
                        prop_assert!(maximum.is_none_or(|maximum| desired <= maximum));
                        prop_assert_eq!(meter.now_bytes(), desired as u64);
                    }
                    Err(error) => {
                        let refusal = error.downcast_ref::<OutOfMemory>().expect("an OutOfMemory error");
                        prop_assert_eq!(refusal.wanted_bytes, desired as u64);
                        prop_assert_eq!(refusal.peak_bytes, before);
                        prop_assert!(refusal.limit_bytes < refusal.wanted_bytes);
                        prop_assert_eq!(meter.now_bytes(), before);
                    }
                }
            }
        }
    }
}
