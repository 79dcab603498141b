//! The Sapling bake: the parameters of the ceremony are its inputs, and one image proves a transaction with Sapling and
//! Orchard parts.

mod harness;

use chacha20::ChaCha20Rng;
use harness::{Server, run_err, run_ok, snapback, state_with};
use incrementalmerkletree::{Hashable, Level};
use pczt::{
    Pczt,
    roles::{
        combiner::Combiner, creator::Creator, io_finalizer::IoFinalizer, signer::Signer,
        tx_extractor::TransactionExtractor, updater::Updater,
    },
};
use rand_core::SeedableRng;
use sapling_crypto::{
    Anchor, MerklePath, Node, Note, Rseed,
    circuit::{OutputParameters, SpendParameters},
    value::NoteValue,
    zip32::ExtendedSpendingKey,
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use zcash_primitives::transaction::{
    builder::{BuildConfig, Builder, BundlePadding, PcztResult},
    fees::zip317::FeeRule,
};
use zcash_protocol::{local_consensus::LocalNetwork, memo::MemoBytes, value::Zatoshis};

/// A network on which NU6.2 is active and NU6.3 is not.
const NETWORK: LocalNetwork = {
    let active = Some(zcash_protocol::consensus::H0);
    LocalNetwork {
        overwinter: active,
        sapling: active,
        blossom: active,
        heartwood: active,
        canopy: active,
        nu5: active,
        nu6: active,
        nu6_1: active,
        nu6_2: active,
        nu6_3: None,
        nu7: None,
    }
};

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// Returns a transaction without proofs, which spends a Sapling note into an Orchard output and Sapling change; and the
/// same transaction, signed.
fn unproven_and_signed() -> (Vec<u8>, Vec<u8>) {
    let spender = ExtendedSpendingKey::master(&[1; 32]).expect("a key");
    let viewer = spender.to_diversifiable_full_viewing_key();
    let recipient = viewer.default_address().1;

    // The tree holds this note only, so every sibling on its path is an empty subtree.
    let note = Note::from_parts(recipient, NoteValue::from_raw(1_000_000), Rseed::AfterZip212([2; 32]));
    let leaf = Node::from_cmu(&note.cmu());
    let siblings = (0..32).map(|level| Node::empty_root(Level::from(level))).collect();
    let path = MerklePath::from_parts(siblings, 0.into()).expect("32 siblings");
    let anchor: Anchor = path.root(leaf).into();

    let orchard_key = orchard::keys::SpendingKey::from_bytes([0; 32]).expect("a key");
    let orchard_viewer = orchard::keys::FullViewingKey::from(&orchard_key);
    let orchard_recipient = orchard_viewer.address_at(0u32, orchard::keys::Scope::External);

    let config = BuildConfig::Standard {
        sapling_anchor: Some(anchor),
        orchard_anchor: Some(orchard::Anchor::empty_tree()),
        ironwood_anchor: None,
        orchard_padding: BundlePadding::DEFAULT,
        ironwood_padding: BundlePadding::DEFAULT,
    };
    let mut builder = Builder::new(NETWORK, 10_000_000.into(), config);
    builder.add_sapling_spend::<FeeRule>(viewer.fvk().clone(), note, path).expect("a spend");
    builder
        .add_orchard_output::<FeeRule>(
            None,
            orchard_recipient,
            Zatoshis::const_from_u64(100_000),
            MemoBytes::empty(),
        )
        .expect("an output");
    builder
        .add_sapling_output::<FeeRule>(None, recipient, Zatoshis::const_from_u64(880_000), MemoBytes::empty())
        .expect("an output");
    let PcztResult { pczt_parts, sapling_meta, .. } =
        builder.build_for_pczt(rng(3), &FeeRule::standard()).expect("a transaction");

    let pczt = Creator::build_from_parts(pczt_parts).expect("a PCZT");
    let pczt = IoFinalizer::new(pczt).finalize_io(rng(4)).expect("final inputs and outputs");
    let index = sapling_meta.spend_index(0).expect("the spend");
    let pczt = Updater::new(pczt)
        .update_sapling_with(|mut bundle| {
            bundle.update_spend_with(index, |mut spend| {
                spend.set_proof_generation_key(spender.expsk().proof_generation_key())
            })
        })
        .expect("an updated spend")
        .finish();
    let unproven = pczt.clone().serialize().expect("bytes");
    let mut signer = Signer::new(pczt).expect("a signer");
    signer.sign_sapling(rng(5), index, spender.expsk().ask()).expect("a signature");
    (unproven, signer.finish().serialize().expect("bytes"))
}

struct Parameters {
    spend: PathBuf,
    output: PathBuf,
    bytes: (Vec<u8>, Vec<u8>),
}

fn parameters(dir: &Path) -> Parameters {
    let bytes = wagyu_zcash_parameters::load_sapling_parameters();
    let (spend, output) = (dir.join("sapling-spend.params"), dir.join("sapling-output.params"));
    fs::write(&spend, &bytes.0).expect("the file is written");
    fs::write(&output, &bytes.1).expect("the file is written");
    Parameters { spend, output, bytes }
}

#[test]
fn one_image_proves_sapling_and_orchard_and_the_network_accepts_the_transaction() {
    let dir = tempfile::tempdir().expect("a directory");
    let Parameters { spend, output, bytes } = parameters(dir.path());
    let state = state_with("zcash");
    let bake = |inputs: &[String]| {
        let mut bake = snapback();
        bake.arg("bake").arg("zcash").arg("--state-dir").arg(&state);
        for input in inputs {
            bake.args(["--input", input]);
        }
        bake
    };
    let named = |name: &str, path: &Path| format!("{name}={}", path.display());

    // The spend parameters are refused if they are other bytes than the ceremony's, or if the output parameters are
    // missing.
    let stderr = run_err(&mut bake(&[named("sapling_spend", &output)]), 3);
    assert!(stderr.contains("`bake_sapling_spend`") && stderr.contains("SHA-256"), "{stderr}");
    let stderr = run_err(&mut bake(&[named("sapling_spend", &spend)]), 3);
    assert!(stderr.contains("sapling_output is missing"), "{stderr}");

    let digest = run_ok(&mut bake(&[named("sapling_spend", &spend), named("sapling_output", &output)]));
    let image = format!("both={}", digest.trim());
    let server = Server::of(snapback().args(["serve", &image, "--state-dir"]).arg(&state));
    let circuits = server.get("/v1/circuits").json();
    let names: Vec<&str> =
        circuits["circuits"].as_array().expect("a list").iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["orchard", "sapling"]);

    let (unproven, signed) = unproven_and_signed();
    server.post("/v1/circuits/sapling/verify", &unproven).error(422, "unsupported_input");
    let half = server.post("/v1/circuits/sapling/prove", &unproven).ok();
    server.post("/v1/circuits/sapling/prove", &half).error(422, "nothing_to_prove");
    server.post("/v1/circuits/sapling/verify", &half).ok();
    let proven = server.post("/v1/circuits/orchard/prove", &half).ok();

    // The first byte that differs says that there is a proof, and the proof follows it. The flipped bit is in the
    // second point of the proof, so the bytes are no point any more, or those of a wrong one.
    let first = half.iter().zip(&unproven).take_while(|(a, b)| a == b).count();
    let mut forged = half;
    forged[first + 1 + 48 + 50] ^= 1;
    server.post("/v1/circuits/sapling/verify", &forged).error(422, "refuted");

    let parse = |bytes: &[u8]| Pczt::parse(bytes).expect("a PCZT");
    let combined =
        Combiner::new(vec![parse(&proven), parse(&signed)]).combine().expect("two parts of one transaction");
    let spend_key = SpendParameters::read(bytes.0.as_slice(), false).expect("parameters").verifying_key();
    let output_key = OutputParameters::read(bytes.1.as_slice(), false).expect("parameters").verifying_key();
    TransactionExtractor::new(combined)
        .with_sapling(&spend_key, &output_key)
        .extract(rng(6))
        .expect("the network accepts the transaction");
}
