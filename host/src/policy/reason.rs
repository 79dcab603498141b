//! Why an instance is replaced.

use serde::Serialize;

/// Why an instance is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The policy asks for a fresh instance for every call.
    EveryCall,
    /// Its memory reached `memory.critical`.
    Memory,
    /// The next call is expected to need more memory than is left.
    Predicted,
    /// The memory of the process as a whole reached `memory.critical`.
    ProcessMemory,
    /// It served `swap.calls_max` calls.
    Calls,
    /// It reached `swap.age_max`.
    Age,
    /// It was used and then idle for `swap.idle_max`.
    Idle,
    /// The guest asked for it through `snapback_retire`.
    Retire,
    /// An operator asked for it.
    Operator,
    /// A new generation was published.
    Generation,
    /// The guest trapped.
    Trap,
    /// The guest ran out of memory.
    OutOfMemory,
    /// A call ran longer than its deadline.
    Deadline,
    /// A call stalled: it used no processor time.
    Stall,
    /// A call was cancelled while it ran.
    Cancelled,
    /// A call ended in another fault.
    Fault,
}

impl Reason {
    /// Name of the reason in metrics and events.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::EveryCall => "every-call",
            Self::Memory => "memory",
            Self::Predicted => "predicted",
            Self::ProcessMemory => "process-memory",
            Self::Calls => "calls",
            Self::Age => "age",
            Self::Idle => "idle",
            Self::Retire => "retire",
            Self::Operator => "operator",
            Self::Generation => "generation",
            Self::Trap => "trap",
            Self::OutOfMemory => "out-of-memory",
            Self::Deadline => "deadline",
            Self::Stall => "stall",
            Self::Cancelled => "cancelled",
            Self::Fault => "fault",
        }
    }

    /// Whether the swap may be deferred. `swap.per_minute_max` and `swap.life_min` hold back these swaps and no others.
    #[must_use]
    pub fn can_wait(self) -> bool {
        use Reason::{Age, Calls, Idle, Memory, Predicted, ProcessMemory, Retire};
        matches!(self, Memory | Predicted | ProcessMemory | Calls | Age | Idle | Retire)
    }
}
