//! The two groups of BN254, in which keys and proofs have their points.
//!
//! ```text
//! first     y² = x³ + 3             over Fq, of prime order
//! second    y² = x³ + 3 / (9 + u)   over Fq2, with a subgroup of that order
//! ```
//!
//! Sources: the constants are those of EIP-197; the test for the subgroup is that of El Housni, Guillevic and Piellard,
//! "Co-factor clearing and subgroup membership testing on pairing-friendly curves", 2022, section 5.1.
//!
//! Invariant: the endomorphism of both groups multiplies by the same number, for which [`HALVES`] is a basis.

use crate::{
    field::Fq,
    point::{Encoding, G1, G2, Point},
    quadratic::Fq2,
};
use snapback_arithmetic::msm::{Coordinate, Halves};

/// A group, by its coordinates.
pub trait Group: Copy + 'static {
    /// The field of the coordinates.
    type Base: Coordinate + Encoding;
    /// The element of order 3 that belongs to the endomorphism for [`HALVES`].
    const ZETA: Self::Base;
    /// The constant `b` of the equation, by a factor: `b B_FACTOR = 3`.
    const B_FACTOR: Self::Base;

    /// Returns the generator that the protocol names.
    fn generator() -> Point<Self>;

    /// Returns whether a point of the curve is in the subgroup.
    fn is_in_subgroup(point: &Point<Self>) -> bool;
}

/// The first group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First;
/// The second group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second;

/// The basis for `LAMBDA = 0xb3c4d79d41a917585bfc41088d8daaa78b17ea66b99c90dd`, a cube root of one in the scalars.
pub(crate) const HALVES: Halves = Halves {
    a1: 0x89d3_2568_94d2_13e3,
    b1: 0x6f4d_8248_eeb8_59fc_8211_bbeb_7d4f_1128,
    a2: 0x6f4d_8248_eeb8_59fd_0be4_e154_1221_250b,
    b2: 0x89d3_2568_94d2_13e3,
    g1: [
        0x8fa7_d32d_2faf_ba64,
        0x6eb9_c714_773a_6ef2,
        0xd91d_232e_c7e0_b3d7,
        0x0000_0000_0000_0002,
        0x0000_0000_0000_0000,
    ],
    g2: [
        0x8693_7516_9b9b_dffa,
        0xa5e3_8cfb_5eaa_26d9,
        0x7a7b_d9d4_391e_b18d,
        0x4cce_f014_a773_d2cf,
        0x0000_0000_0000_0002,
    ],
};

impl Group for First {
    type Base = Fq;
    const ZETA: Fq =
        Fq::from_number([0x5763_4731_77ff_fffe, 0xd4f2_63f1_acdb_5c4f, 0x59e2_6bce_a0d4_8bac, 0]);
    const B_FACTOR: Fq = Fq::ONE;

    fn generator() -> G1 {
        Point { x: Fq::ONE, y: Fq::ONE.double() }
    }

    fn is_in_subgroup(_: &G1) -> bool {
        true
    }
}

impl Group for Second {
    type Base = Fq2;
    const ZETA: Fq2 = Fq2 {
        re: Fq::from_number([
            0xe4bd_44e5_607c_fd48,
            0xc28f_069f_bb96_6e3d,
            0x5e6d_d9e7_e0ac_ccb0,
            0x3064_4e72_e131_a029,
        ]),
        im: Fq::ZERO,
    };
    const B_FACTOR: Fq2 = Fq2 { re: Fq::from_number([9, 0, 0, 0]), im: Fq::ONE };

    fn generator() -> G2 {
        Point {
            x: Fq2 {
                re: Fq::from_number([
                    0x46de_bd5c_d992_f6ed,
                    0x6743_22d4_f75e_dadd,
                    0x426a_0066_5e5c_4479,
                    0x1800_deef_121f_1e76,
                ]),
                im: Fq::from_number([
                    0x97e4_85b7_aef3_12c2,
                    0xf1aa_4933_35a9_e712,
                    0x7260_bfb7_31fb_5d25,
                    0x198e_9393_920d_483a,
                ]),
            },
            y: Fq2 {
                re: Fq::from_number([
                    0x4ce6_cc01_66fa_7daa,
                    0xe3d1_e769_0c43_d37b,
                    0x4aab_7180_8dcb_408f,
                    0x12c8_5ea5_db8c_6deb,
                ]),
                im: Fq::from_number([
                    0x55ac_dadc_d122_975b,
                    0xbc4b_3133_70b3_8ef3,
                    0xec9e_99ad_690c_3395,
                    0x0906_89d0_585f_f075,
                ]),
            },
        }
    }

    fn is_in_subgroup(point: &G2) -> bool {
        // With x the parameter of the curve: [x + 1]P + psi([x]P) + psi²([x]P) = psi³([2x]P).
        let multiple = point.times(&[PARAMETER]);
        let once = multiple.frobenius();
        let twice = once.frobenius();
        let thrice = twice.frobenius();
        let mut left = multiple + once + twice;
        left += *point;
        left.equals(&thrice.double())
    }
}

/// The parameter of the curve, from which its primes are computed.
const PARAMETER: u64 = 4_965_661_367_192_848_881;

/// The factors of the coordinates in the endomorphism `psi`: `(9 + u)^((q - 1) / 3)` and `(9 + u)^((q - 1) / 2)`.
pub(crate) const PSI: [Fq2; 2] = [
    Fq2 {
        re: Fq::from_number([
            0x99e3_9557_176f_553d,
            0xb78c_c310_c2c3_330c,
            0x4c0b_ec3c_f559_b143,
            0x2fb3_4798_4f79_11f7,
        ]),
        im: Fq::from_number([
            0x1665_d51c_640f_cba2,
            0x32ae_2a1d_0b7c_9dce,
            0x4ba4_cc8b_d75a_0794,
            0x16c9_e550_61eb_ae20,
        ]),
    },
    Fq2 {
        re: Fq::from_number([
            0xdc54_0146_71a0_135a,
            0xdbaa_e0ed_a9c9_5998,
            0xdc5e_c698_b6e2_f9b9,
            0x063c_f305_489a_f5dc,
        ]),
        im: Fq::from_number([
            0x82d3_7f63_2623_b0e3,
            0x2180_7dc9_8fa2_5bd2,
            0x0704_b5a7_ec79_6f2b,
            0x07c0_3cbc_ac41_049a,
        ]),
    },
];
