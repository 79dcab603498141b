// Proves with snarkjs as a warm process does. Each line on standard input asks for a proof, and is answered with its times.
//
//   node snarkjs.mjs DIRECTORY_OF_SNARKJS KEY.zkey WITNESS.wtns
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [place, zkey, witness] = process.argv.slice(2);
const snarkjs = await import(pathToFileURL(`${place}/node_modules/snarkjs/main.js`));
const read = (file) => new Uint8Array(readFileSync(file));
const [key, values] = [read(zkey), read(witness)];
const memory = (data) => ({ type: "mem", data });

for await (const _ of createInterface({ input: process.stdin })) {
  const begun = process.hrtime.bigint();
  const before = process.cpuUsage();
  await snarkjs.groth16.prove(memory(key), memory(values));
  const { user, system } = process.cpuUsage(before);
  const wall = Number(process.hrtime.bigint() - begun) / 1e9;
  console.log(`${(user + system) / 1e6} ${wall}`);
}
process.exit(0);
