// Compiles the verifier that snarkjs exports, and writes its code and the beginning of a call of `verifyProof`.
//
//   node compile.cjs DIRECTORY_OF_SOLC verifier.sol CODE CALLDATA
const { readFileSync, writeFileSync } = require("node:fs");
const [place, source, code, calldata] = process.argv.slice(2);
const solc = require(`${place}/node_modules/solc`);
const output = JSON.parse(
  solc.compile(
    JSON.stringify({
      language: "Solidity",
      sources: { "verifier.sol": { content: readFileSync(source, "utf8") } },
      settings: { outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.methodIdentifiers"] } } },
    }),
  ),
);
const { evm } = output.contracts["verifier.sol"].Groth16Verifier;
const method = Object.keys(evm.methodIdentifiers).find((name) => name.startsWith("verifyProof("));
writeFileSync(code, evm.bytecode.object);
writeFileSync(calldata, evm.methodIdentifiers[method]);
