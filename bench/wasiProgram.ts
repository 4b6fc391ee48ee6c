import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

/** `node wasiProgram.js FILE ARGS`: runs a program that clang has made for WebAssembly (WASI preview 1), as the peer `wasm`. */
const [, , file, ...args] = process.argv;
const wasi = new WASI({ version: 'preview1', args: [file, ...args], returnOnExit: true });
const module = await WebAssembly.compile(readFileSync(file));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject() as WebAssembly.Imports);
process.exitCode = wasi.start(instance);
