//! Makes a proving key for Groth16 of a circuit over BN254, for tests: `ceremony CIRCUIT.r1cs CIRCUIT.zkey`.

#[path = "harness/ceremony.rs"]
#[expect(dead_code, reason = "benches use the rest")]
mod ceremony;
#[path = "harness/squares.rs"]
#[expect(dead_code, reason = "benches use the rest")]
mod squares;

use std::{env, fs, io, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [r1cs, zkey] = &arguments[..] else {
        eprintln!("ceremony: two files are expected, the .r1cs that is read and the .zkey that is written");
        return ExitCode::from(2);
    };
    let make = || -> io::Result<()> { fs::write(zkey, ceremony::zkey(&fs::read(r1cs)?)) };
    match make() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ceremony: {error}");
            ExitCode::FAILURE
        }
    }
}
