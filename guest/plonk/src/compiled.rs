//! An arithmetised circuit: its constraints as a tape, and the digest that identifies it.

use crate::{
    Error, PastaPrime, Scalar,
    circuit::TapeCircuit,
    tape::{SLOTS, Tape},
};
use halo2_proofs::pasta::{Fp, Fq};
use sha2::{Digest, Sha256};
use snapback_circom::r1cs::{Header, R1cs};

/// Version of the arithmetisation. A change of the arithmetisation changes every key, and needs a new version.
pub const ARITHMETISATION_VERSION: u32 = 1;
/// Smallest number of rows, as a power of two.
const K_MIN: u32 = 4;
/// Largest number of rows, as a power of two: keys for more rows do not fit a 32-bit memory.
pub const K_MAX: u32 = 18;
/// Rows that halo2 keeps for itself: five for blinding, one for the permutation's last product.
const ROWS_RESERVED: usize = 6;

/// An arithmetised circuit.
pub struct Compiled<F: Scalar> {
    r1cs: R1cs<F>,
    tape: Tape<F>,
    k: u32,
    digest: [u8; 32],
}

impl<F: Scalar> Compiled<F> {
    /// Reads a circuit from an `.r1cs` file and arithmetises it.
    ///
    /// # Errors
    /// Returns an error if the file is not a circuit over this field, or the circuit needs more than 2^[`K_MAX`] rows.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::new(R1cs::read(bytes)?)
    }

    /// Arithmetises a circuit.
    ///
    /// # Errors
    /// Returns an error if the circuit needs more than 2^[`K_MAX`] rows.
    pub fn new(r1cs: R1cs<F>) -> Result<Self, Error> {
        // Each product takes a slot of its own, so a circuit that cannot fit is refused before it is laid out.
        let products = r1cs.constraints().filter(|gate| !gate.a.is_empty() && !gate.b.is_empty()).count();
        if products > SLOTS << K_MAX || r1cs.header.publics() > 1 << K_MAX {
            return Err(Error::Unsupported(format!(
                "it has {products} products and {} public signals; keys have up to {} rows",
                r1cs.header.publics(),
                1 << K_MAX
            )));
        }
        let tape = Tape::new(&r1cs);
        let rows = tape.rows().max(r1cs.header.publics() as usize) + ROWS_RESERVED;
        let k = rows.next_power_of_two().trailing_zeros().max(K_MIN);
        if k > K_MAX {
            return Err(Error::Unsupported(format!("it needs {rows} rows; keys have up to {}", 1 << K_MAX)));
        }
        let mut hash = Sha256::new();
        hash.update(b"snapback circuit");
        hash.update(ARITHMETISATION_VERSION.to_le_bytes());
        hash.update(k.to_le_bytes());
        hash.update(r1cs.write());
        Ok(Self { r1cs, tape, k, digest: hash.finalize().into() })
    }

    /// Returns the number of rows, as a power of two: the size of the structured reference string that the circuit
    /// needs.
    #[must_use]
    pub fn k(&self) -> u32 {
        self.k
    }

    /// Returns the circuit.
    #[must_use]
    pub fn r1cs(&self) -> &R1cs<F> {
        &self.r1cs
    }

    /// Returns the digest that identifies the circuit. It covers the constraints, the number of rows and the version of
    /// the arithmetisation.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    pub(crate) fn tape(&self) -> &Tape<F> {
        &self.tape
    }

    pub(crate) fn circuit<'a>(&'a self, values: Option<&'a [F]>) -> TapeCircuit<'a, F> {
        TapeCircuit { tape: &self.tape, publics: self.r1cs.header.publics(), values }
    }
}

/// A circuit over either prime, without its constraints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The header of its `.r1cs` file.
    pub header: Header,
    /// [`Compiled::k`]
    pub k: u32,
    /// [`Compiled::digest`]
    pub digest: [u8; 32],
}

impl Outline {
    /// Reads a circuit over either prime, as a bake does.
    ///
    /// # Errors
    /// Returns an error if the file is not a circuit, or a circuit that this prover does not support.
    pub fn read(r1cs: &[u8]) -> Result<Self, Error> {
        fn of<F: Scalar>(r1cs: &[u8]) -> Result<Outline, Error> {
            let Compiled { r1cs, k, digest, .. } = Compiled::<F>::read(r1cs)?;
            Ok(Outline { header: r1cs.header, k, digest })
        }
        match PastaPrime::try_from(Header::read(r1cs)?.prime)? {
            PastaPrime::Pallas => of::<Fp>(r1cs),
            PastaPrime::Vesta => of::<Fq>(r1cs),
        }
    }
}
