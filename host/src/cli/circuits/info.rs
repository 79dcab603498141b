//! `snapback circuits info` and `snapback circuits estimate`: a circuit in a file, without a server.

use crate::cli::{
    exit::{Exit, Failure},
    files,
    output::outln,
};
use anyhow::Context;
use bytesize::ByteSize;
use serde_json::{Value, json};
use snapback_circom::r1cs::Header;
use snapback_snapshot::proof_systems::{
    CircuitError, CircuitFiles, CircuitShape, Description, Estimate, FileKind, FileSpec, Presence,
    ProofSystem, ProofSystems,
};
use std::{ops::RangeInclusive, path::PathBuf};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The circuit: an .r1cs, as `circom --r1cs` writes it, or a .zkey
    file: PathBuf,
    /// Names of its signals, as `circom --sym` writes them
    #[arg(long, value_name = "FILE")]
    sym: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    fn files(&self) -> anyhow::Result<CircuitFiles> {
        let mut circuit = CircuitFiles::default();
        let file = files::read(&self.file)?;
        let kind = if file.starts_with(b"zkey") { FileKind::ZKEY } else { FileKind::R1CS };
        circuit.insert(kind, file.to_vec());
        if let Some(sym) = &self.sym {
            circuit.insert(FileKind::SYM, files::read(sym)?.to_vec());
        }
        Ok(circuit)
    }

    fn refuse(&self, error: &CircuitError) -> anyhow::Error {
        Failure::error(Exit::Call, format!("{}: {error}", self.file.display()))
    }
}

/// Finds the proof system that takes a circuit, and what it says of it.
///
/// # Errors
/// Returns why the last one refuses it.
fn described<'a>(
    systems: &'a ProofSystems,
    files: &CircuitFiles,
) -> Result<(&'a dyn ProofSystem, Description), CircuitError> {
    let mut refused = CircuitError::Unsupported("no proof system takes such files".into());
    let takes = |spec: &FileSpec| spec.presence == Presence::Optional || files.get(&spec.kind).is_some();
    for system in systems.iter().filter(|system| system.files().iter().all(takes)) {
        match system.describe(files) {
            Ok(description) => return Ok((system, description)),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

pub(super) fn info(args: &Args, systems: &ProofSystems) -> anyhow::Result<()> {
    let files = args.files()?;
    let described = described(systems, &files);
    let Some(r1cs) = files.get(&FileKind::R1CS) else { return info_of_key(args, described) };
    let header = Header::read(r1cs).map_err(|error| args.refuse(&error.into()))?;
    // A malformed file has no description, and one that no proof system takes has the one of its header.
    if let Err(error @ CircuitError::Malformed(_)) = &described {
        return Err(args.refuse(error));
    }
    if args.json {
        outln!("{}", info_json(&header, &described));
        return Ok(());
    }
    let line = |what: &str, value: &dyn std::fmt::Display| outln!("{what:<16} {value}");
    line("prime", &header.prime);
    line("constraints", &header.constraints);
    line("wires", &header.wires);
    line("labels", &header.labels);
    line("outputs", &header.public_outputs);
    line("public inputs", &header.public_inputs);
    line("private inputs", &header.private_inputs);
    match described {
        Ok((system, Description { circuit, shape })) => {
            let shape = shape.context("the proof system knows no shape")?;
            line("proof system", &system.id());
            line("rows", &format_args!("{} (k = {})", 1_u64 << shape.k, shape.k));
            line("circuit", &circuit);
            for (what, names) in [("public signals", &shape.public), ("inputs", &shape.inputs)] {
                if !names.is_empty() {
                    line(what, &crate::cli::progress::printable(&names.join(", ")));
                }
            }
        }
        Err(error) => line("cannot be proven", &error),
    }
    Ok(())
}

/// Describes a circuit of which only the proving key is there.
fn info_of_key(
    args: &Args,
    described: Result<(&dyn ProofSystem, Description), CircuitError>,
) -> anyhow::Result<()> {
    let (system, Description { circuit, shape }) = described.map_err(|error| args.refuse(&error))?;
    let shape = shape.context("the proof system knows no shape")?;
    if args.json {
        let mut json = serde_json::to_value(&shape).expect("a shape has string keys only");
        json["circuit"] = json!(circuit);
        json["proof_system"] = system.id().into();
        outln!("{json}");
        return Ok(());
    }
    let line = |what: &str, value: &dyn std::fmt::Display| outln!("{what:<16} {value}");
    line("prime", &shape.prime);
    line("constraints", &shape.constraints);
    line("wires", &shape.wires);
    line("public signals", &shape.publics.unwrap_or_default());
    line("proof system", &system.id());
    line("rows", &format_args!("{} (k = {})", 1_u64 << shape.k, shape.k));
    line("circuit", &circuit);
    Ok(())
}

fn info_json(header: &Header, described: &Result<(&dyn ProofSystem, Description), CircuitError>) -> Value {
    match described {
        Ok((system, Description { circuit, shape })) => {
            let mut json = serde_json::to_value(shape).expect("a shape has string keys only");
            json["labels"] = header.labels.into();
            json["circuit"] = json!(circuit);
            json["proof_system"] = system.id().into();
            json
        }
        Err(error) => json!({
            "prime": header.prime.to_string(),
            "constraints": header.constraints,
            "wires": header.wires,
            "labels": header.labels,
            "outputs": header.public_outputs,
            "public_inputs": header.public_inputs,
            "private_inputs": header.private_inputs,
            "unsupported": error.to_string(),
        }),
    }
}

pub(super) fn estimate(args: &Args, systems: &ProofSystems) -> anyhow::Result<()> {
    let (system, description) = described(systems, &args.files()?).map_err(|error| args.refuse(&error))?;
    let shape: CircuitShape = description.shape.context("the proof system knows no shape")?;
    let estimate = system.estimate(&shape).context("the proof system gives no estimates")?;
    let Estimate { rows, image_bytes, memory_bytes, bake_bytes, reference, bake, proof } = &estimate;
    if args.json {
        let range = |bytes: &RangeInclusive<u64>| json!([bytes.start(), bytes.end()]);
        let json = json!({
            "k": shape.k,
            "rows": rows,
            "image_bytes": range(image_bytes),
            "memory_bytes": range(memory_bytes),
            "bake_bytes": bake_bytes,
            "reference_seconds": reference.as_secs_f64(),
            "bake_seconds": bake.as_secs_f64(),
            "proof_seconds": proof.as_secs_f64(),
        });
        outln!("{json}");
        return Ok(());
    }
    let show = |bytes: u64| ByteSize(bytes).display().iec().to_string();
    let range = |bytes: &RangeInclusive<u64>| format!("{} to {}", show(*bytes.start()), show(*bytes.end()));
    let seconds = |time: &std::time::Duration| format!("{:.1} s", time.as_secs_f64());
    let line = |what: &str, value: String, why: &str| outln!("{what:<18} {value:<24} {why}");
    line("rows", rows.to_string(), &format!("k = {}, for {} constraints", shape.k, shape.constraints));
    line("image", range(image_bytes), "on disk, for this circuit alone; bake.image_bytes_max");
    line("memory", range(memory_bytes), "mapped once for all instances; memory.limit and bake.memory_limit");
    line("memory of the bake", show(*bake_bytes), "while it runs");
    line("reference string", seconds(reference), "once for all circuits of this size");
    line("bake", seconds(bake), "each time that circuits change");
    line("proof", seconds(proof), "on one core");
    outln!(
        "Times were measured on two cores of AMD EPYC with other work beside, and differ with the machine."
    );
    Ok(())
}
