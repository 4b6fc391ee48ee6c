import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXTENSIONS, NO_EXTENSIONS, withImplied } from '../../../src/isa/extensions.js';

/**
 * Executes single instructions under qemu-riscv64, through the guest program executor.S: the reference that the
 * differential tests compare with.
 */

/** u64 slots of one record; see executor.S. */
export const RECORD_SLOTS = 17;
export const SLOT_FCSR = 0;
export const SLOT_A = 1;
export const SLOT_FA = 5;
export const SLOT_MEMORY = 9;
/** fcsr of a record whose code was an illegal instruction. */
export const ILLEGAL = 0xffff_ffff_ffff_ffffn;
export const RET = 0x0000_8067;

export interface Batch {
  /** Instruction words, without the final `ret`. */
  readonly code: readonly number[];
  /** RECORD_SLOTS values a record. */
  readonly records: BigUint64Array;
}

const MAX_RECORDS = 16384;

const built = new Map<string, string>();

/** Why the reference cannot be run here, or undefined when it can. */
export function referenceMissing(): string | undefined {
  for (const program of ['qemu-riscv64', 'riscv64-linux-gnu-gcc']) {
    if (spawnSync(program, ['--version']).status !== 0) return `${program} is not installed`;
  }
  return undefined;
}

/** Extensions that some version of qemu turns on by default. */
const BEYOND_RV64GC = 'zba zbb zbc zbs zfa zfh zfhmin zawrs zicbom zicboz zicond zacas zabha zcb zimop zcmop';

/** qemu's notation for a processor without anything beyond RV64GC. */
export function plainProcessor(): string {
  // Which extensions can be turned off differs between versions, and it refuses those it does not know.
  const known = BEYOND_RV64GC.split(' ').filter(
    (name) =>
      spawnSync('qemu-riscv64', ['-cpu', `rv64,${name}=false`, executorProgram()], { input: '' }).status ===
      0,
  );
  return ['rv64', ...known.map((name) => `${name}=false`)].join();
}

/** A processor of qemu's with every extension that it knows, and which those are (a mask, isa/extensions). */
export function fullProcessor(): { readonly cpu: string; readonly extensions: number } {
  let extensions = NO_EXTENSIONS;
  const switches = ['rv64'];
  for (const { name, bit } of EXTENSIONS) {
    // Some versions write some of them with a capital letter.
    const known = [name, name[0].toUpperCase() + name.slice(1)].find(
      (spelt) =>
        spawnSync('qemu-riscv64', ['-cpu', `rv64,${spelt}=true`, executorProgram()], { input: '' }).status ===
        0,
    );
    if (known === undefined) continue;
    extensions |= bit;
    switches.push(`${known}=true`);
  }
  return { cpu: switches.join(), extensions: withImplied(extensions) };
}

/** Builds executor.S once a process and returns the program's path. */
export function executorProgram(): string {
  return build('executor');
}

/** Builds classifier.S, which says of instructions whether they are legal. */
export function classifierProgram(): string {
  return build('classifier');
}

function build(name: string): string {
  let program = built.get(name);
  if (program === undefined) {
    program = join(mkdtempSync(join(tmpdir(), 'guesthouse-executor-')), name);
    const source = fileURLToPath(new URL(`${name}.S`, import.meta.url));
    const flags = ['-nostdlib', '-static', '-march=rv64gc', '-Wl,--no-warn-rwx-segments'];
    execFileSync('riscv64-linux-gnu-gcc', [...flags, '-o', program, source]);
    built.set(name, program);
  }
  return program;
}

/** Runs every batch under qemu-riscv64 and returns the records as the instructions left them. */
export function runOnReference(batches: readonly Batch[], cpu = 'rv64'): BigUint64Array[] {
  const chunks: Buffer[] = [];
  for (const { code, records } of batches) {
    const count = records.length / RECORD_SLOTS;
    if (count > MAX_RECORDS) throw new RangeError(`${count} records in one batch`);
    chunks.push(Buffer.from(new Uint32Array([count, code.length + 1, ...code, RET]).buffer));
    chunks.push(Buffer.from(records.buffer, records.byteOffset, records.byteLength));
  }
  const run = spawnSync('qemu-riscv64', ['-cpu', cpu, executorProgram()], {
    input: Buffer.concat(chunks),
    maxBuffer: 2 ** 31,
  });
  if (run.status !== 0) throw new Error(`executor ended with ${run.status ?? run.signal}: ${run.stderr}`);
  const output = run.stdout;
  const results: BigUint64Array[] = [];
  let offset = 0;
  for (const { records } of batches) {
    const bytes = new Uint8Array(records.byteLength);
    bytes.set(output.subarray(offset, offset + records.byteLength));
    results.push(new BigUint64Array(bytes.buffer));
    offset += records.byteLength;
  }
  if (offset !== output.length) throw new Error(`executor wrote ${output.length} bytes, not ${offset}`);
  return results;
}
