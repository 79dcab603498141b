//! Deploys a contract in an EVM and calls it: `evm CODE CALLDATA`, two files of hexadecimal digits. Prints what the call
//! returns, as hexadecimal digits.

use revm::{
    Context, ExecuteCommitEvm, MainBuilder, MainContext,
    context::{
        TxEnv,
        result::{ExecutionResult, Output},
    },
    database::InMemoryDB,
    primitives::{Bytes, TxKind},
};
use std::{env, fs, process::ExitCode};

/// Gas of a transaction, less than any fork of the network allows.
const GAS: u64 = 16_000_000;

fn main() -> ExitCode {
    match run() {
        Ok(output) => {
            println!("{output:x}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("evm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Bytes, String> {
    let files: Vec<_> = env::args_os().skip(1).collect();
    let [code, calldata] = &files[..] else { return Err("two files are expected: the code and the calldata".into()) };
    let read = |path| -> Result<Bytes, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {path:?}: {error}"))?;
        text.trim().parse().map_err(|error| format!("{path:?}: {error}"))
    };
    let mut evm = Context::mainnet().with_db(InMemoryDB::default()).build_mainnet();
    let mut transact = |kind, data, nonce| -> Result<Output, String> {
        let transaction = TxEnv::builder().kind(kind).data(data).nonce(nonce).gas_limit(GAS).build();
        let transaction = transaction.map_err(|error| format!("{error:?}"))?;
        match evm.transact_commit(transaction).map_err(|error| format!("{error:?}"))? {
            ExecutionResult::Success { output, .. } => Ok(output),
            failed => Err(format!("{failed:?}")),
        }
    };
    let deployed = transact(TxKind::Create, read(code)?, 0)?;
    let address = *deployed.address().ok_or("no contract was deployed")?;
    Ok(transact(TxKind::Call(address), read(calldata)?, 1)?.into_data())
}
