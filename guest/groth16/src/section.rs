//! The sections of a `.zkey`, each of which is a list of records of one size.
//!
//! Source: snarkjs, `zkey_utils.js`.

use crate::{
    header::HEADER_BYTES,
    point::{G1, G2},
};

/// Length of a coefficient, in bytes.
pub(crate) const COEFFICIENT_BYTES: usize = 44;
/// Pieces in which sections are passed over that are not used.
pub(crate) const SKIPPED_BYTES: usize = 4096;

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Protocol,
    Header,
    Ic,
    Coefficients,
    A,
    B1,
    B2,
    C,
    H,
    /// The contributions to the ceremony, or a section that this version does not know.
    Other(u32),
}

impl Section {
    pub(crate) fn of(number: u32) -> Self {
        match number {
            1 => Self::Protocol,
            2 => Self::Header,
            3 => Self::Ic,
            4 => Self::Coefficients,
            5 => Self::A,
            6 => Self::B1,
            7 => Self::B2,
            8 => Self::C,
            9 => Self::H,
            other => Self::Other(other),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Protocol => "section 1, the protocol",
            Self::Header => "section 2, the header",
            Self::Ic => "section 3, the points IC",
            Self::Coefficients => "section 4, the coefficients",
            Self::A => "section 5, the points A",
            Self::B1 => "section 6, the points B in G1",
            Self::B2 => "section 7, the points B in G2",
            Self::C => "section 8, the points C",
            Self::H => "section 9, the points H",
            Self::Other(_) => "a section that is not used",
        }
    }

    /// Length of a record, in bytes.
    pub(crate) fn record_bytes(self) -> usize {
        match self {
            Self::Protocol => 4,
            Self::Header => HEADER_BYTES as usize,
            Self::Ic | Self::A | Self::B1 | Self::C | Self::H => G1::BYTES,
            Self::B2 => G2::BYTES,
            Self::Coefficients => COEFFICIENT_BYTES,
            Self::Other(_) => SKIPPED_BYTES,
        }
    }

    /// The sections that every key has.
    pub(crate) const NEEDED: [Self; 9] = [
        Self::Protocol,
        Self::Header,
        Self::Ic,
        Self::Coefficients,
        Self::A,
        Self::B1,
        Self::B2,
        Self::C,
        Self::H,
    ];
}
