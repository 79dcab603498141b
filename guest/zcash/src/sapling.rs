//! The Sapling Spend and Output circuits: Groth16 over BLS12-381, with the parameters of the 2018 ceremony.
//!
//! Invariant: all parameters have the digests of the ceremony's files, so their points are not checked one by one.

use bellman::gadgets::multipack;
use bls12_381::{Bls12, Scalar};
use groth16::{PreparedVerifyingKey, Proof, VerifyingKey, prepare_verifying_key, verify_proof};
use group::ff::PrimeField;
use pczt::{
    Pczt,
    roles::{
        prover::Prover as ProverRole,
        verifier::{SaplingError, Verifier},
    },
};
use rand_core::CryptoRng;
use sapling_crypto::{
    circuit::{OutputParameters, SpendParameters},
    pczt::{Bundle, Output, Spend},
};
use sha2::{Digest, Sha256};
use snapback_abi::{guest::Failure, reply::Tag};
use zeroize::Zeroize;

/// SHA-256 of `sapling-spend.params`, as zcashd's `fetch-params` pins it.
const SPEND_DIGEST: [u8; 32] = hex("8e48ffd23abb3a5fd9c5589204f32d9c31285a04b78096ba40a79b75677efc13");
/// SHA-256 of `sapling-output.params`, as zcashd's `fetch-params` pins it.
const OUTPUT_DIGEST: [u8; 32] = hex("2f0ebbcbb9bb0bcffe95a397e7eba89c29eb4dde6191c339db88570e3f3fb0e4");

const fn hex(text: &str) -> [u8; 32] {
    const fn digit(character: u8) -> u8 {
        match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            _ => panic!("not a hexadecimal digit"),
        }
    }
    let text = text.as_bytes();
    let mut bytes = [0; 32];
    let mut index = 0;
    while index < 32 {
        bytes[index] = digit(text[2 * index]) << 4 | digit(text[2 * index + 1]);
        index += 1;
    }
    bytes
}

pub(crate) struct SpendKey {
    parameters: SpendParameters,
    verifying_key: VerifyingKey<Bls12>,
}

pub(crate) struct OutputKey {
    parameters: OutputParameters,
    verifying_key: VerifyingKey<Bls12>,
}

impl SpendKey {
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, Failure> {
        let (verifying_key, parameters) =
            read(bytes, &SPEND_DIGEST, |bytes| SpendParameters::read(bytes, false))?;
        Ok(Self { parameters, verifying_key })
    }
}

impl OutputKey {
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, Failure> {
        let (verifying_key, parameters) =
            read(bytes, &OUTPUT_DIGEST, |bytes| OutputParameters::read(bytes, false))?;
        Ok(Self { parameters, verifying_key })
    }
}

fn read<P>(
    mut bytes: Vec<u8>,
    digest: &[u8; 32],
    parameters: impl FnOnce(&[u8]) -> std::io::Result<P>,
) -> Result<(VerifyingKey<Bls12>, P), Failure> {
    if Sha256::digest(&bytes)[..] != digest[..] {
        return Err(Failure::new(
            Tag::Malformed,
            "not the parameters of the ceremony: their SHA-256 differs",
        ));
    }
    let malformed = |error| Failure::new(Tag::Malformed, format!("not Sapling parameters: {error}"));
    let verifying_key = VerifyingKey::read(bytes.as_slice()).map_err(malformed)?;
    let parameters = parameters(&bytes).map_err(malformed)?;
    // The freed buffer stays in the image, and costs nothing there if it holds zeros.
    bytes.zeroize();
    Ok((verifying_key, parameters))
}

pub(crate) struct Prover {
    spend: SpendParameters,
    output: OutputParameters,
    spend_vk: PreparedVerifyingKey<Bls12>,
    output_vk: PreparedVerifyingKey<Bls12>,
    /// SHA-256 of the two verifying keys in Groth16's own encoding, Spend first.
    pub(crate) vk_digest: [u8; 32],
}

impl Prover {
    pub(crate) fn new(spend: SpendKey, output: OutputKey) -> Self {
        let mut encoded = Vec::new();
        for key in [&spend.verifying_key, &output.verifying_key] {
            key.write(&mut encoded).expect("a vector takes any bytes");
        }
        Self {
            spend_vk: prepare_verifying_key(&spend.verifying_key),
            output_vk: prepare_verifying_key(&output.verifying_key),
            spend: spend.parameters,
            output: output.parameters,
            vk_digest: Sha256::digest(&encoded).into(),
        }
    }

    pub(crate) fn prove(&self, pczt: Pczt, rng: &mut impl CryptoRng) -> Result<Pczt, Failure> {
        let role = ProverRole::new(pczt);
        if !role.requires_sapling_proofs() {
            return Err(Failure::new(Tag::NothingToProve, "the PCZT needs no Sapling proof"));
        }
        let proven = role
            .create_sapling_proofs(rng, &self.spend, &self.output)
            .map_err(|error| Failure::new(Tag::Unsupported, format!("cannot prove this PCZT: {error:?}")))?
            .finish();
        self.verify(proven.clone()).map_err(|failure| {
            Failure::new(Tag::Internal, format!("the new proofs failed their check: {}", failure.message))
        })?;
        Ok(proven)
    }

    pub(crate) fn verify(&self, pczt: Pczt) -> Result<(), Failure> {
        let seen = Verifier::new(pczt)
            .with_sapling(|bundle| self.verify_bundle(bundle).map_err(SaplingError::Custom));
        match seen {
            Ok(_) => Ok(()),
            Err(SaplingError::Custom(failure)) => Err(failure),
            Err(SaplingError::Parser(error)) => {
                Err(Failure::new(Tag::Malformed, format!("the Sapling bundle does not parse: {error:?}")))
            }
            Err(SaplingError::Verifier(error)) => {
                Err(Failure::new(Tag::Malformed, format!("the Sapling bundle is inconsistent: {error:?}")))
            }
        }
    }

    fn verify_bundle(&self, bundle: &Bundle) -> Result<(), Failure> {
        if bundle.spends().is_empty() && bundle.outputs().is_empty() {
            return Err(Failure::new(Tag::Unsupported, "the PCZT has no Sapling part to verify"));
        }
        let anchor = Scalar::from_repr(bundle.anchor().to_bytes())
            .into_option()
            .ok_or_else(|| Failure::new(Tag::Malformed, "the Sapling anchor is not a field element"))?;
        for spend in bundle.spends() {
            check(&self.spend_vk, spend.zkproof(), &spend_statement(spend, anchor)?)?;
        }
        for output in bundle.outputs() {
            check(&self.output_vk, output.zkproof(), &output_statement(output)?)?;
        }
        Ok(())
    }
}

fn check(
    key: &PreparedVerifyingKey<Bls12>,
    proof: &Option<[u8; 192]>,
    statement: &[Scalar],
) -> Result<(), Failure> {
    let proof = proof
        .as_ref()
        .ok_or_else(|| Failure::new(Tag::Unsupported, "a Sapling spend or output has no proof to verify"))?;
    let refuted = || Failure::new(Tag::Refuted, "a Sapling proof does not verify");
    let proof = Proof::read(&proof[..]).map_err(|_| refuted())?;
    verify_proof(key, &proof, statement).map_err(|_| refuted())
}

/// Returns the public inputs of a Spend, in the order of the Zcash protocol specification, section 4.15.2.
fn spend_statement(spend: &Spend, anchor: Scalar) -> Result<Vec<Scalar>, Failure> {
    let mut statement = Vec::with_capacity(7);
    statement.extend(coordinates((*spend.rk()).into(), "rk")?);
    statement.extend(coordinates(spend.cv().to_bytes(), "cv")?);
    statement.push(anchor);
    let nullifier = multipack::bytes_to_bits_le(&spend.nullifier().0);
    statement.extend(multipack::compute_multipacking::<Scalar>(&nullifier));
    Ok(statement)
}

/// Returns the public inputs of an Output, in the order of the Zcash protocol specification, section 4.15.3.
fn output_statement(output: &Output) -> Result<Vec<Scalar>, Failure> {
    let mut statement = Vec::with_capacity(5);
    statement.extend(coordinates(output.cv().to_bytes(), "cv")?);
    statement.extend(coordinates(output.ephemeral_key().0, "ephemeral key")?);
    let cmu = Scalar::from_repr(output.cmu().to_bytes())
        .into_option()
        .ok_or_else(|| Failure::new(Tag::Malformed, "a Sapling cmu is not a field element"))?;
    statement.push(cmu);
    Ok(statement)
}

/// Returns the affine coordinates of a point, or a failure if it is not a point of large order. The failure names the
/// field.
fn coordinates(encoding: [u8; 32], field: &str) -> Result<[Scalar; 2], Failure> {
    jubjub::AffinePoint::from_bytes(encoding)
        .into_option()
        .filter(|point| !bool::from(jubjub::ExtendedPoint::from(*point).mul_by_cofactor().is_identity()))
        .map(|point| [point.get_u(), point.get_v()])
        .ok_or_else(|| {
            Failure::new(Tag::Malformed, format!("a Sapling {field} is not a point of large order"))
        })
}
