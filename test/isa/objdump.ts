import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const OBJDUMP = 'riscv64-linux-gnu-objdump';

/** Says whether the cross binutils are installed. */
export const hasObjdump = spawnSync(OBJDUMP, ['--version']).status === 0;

/** One line of a disassembly. */
export interface DumpLine {
  readonly address: number;
  readonly raw: number;
  readonly text: string;
}

/** Disassembles raw code that stands at `base` with objdump. */
export function objdumpBytes(code: Uint8Array, base: number): DumpLine[] {
  const folder = mkdtempSync(join(tmpdir(), 'guesthouse-objdump-'));
  try {
    const file = join(folder, 'code.bin');
    writeFileSync(file, code);
    return parse(['-b', 'binary', '-m', 'riscv:rv64', '-D', `--adjust-vma=${base}`, file]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Disassembles the code sections of an ELF file with objdump. */
export function objdumpFile(file: string): DumpLine[] {
  return parse(['-d', file]);
}

function parse(args: string[]): DumpLine[] {
  const output = execFileSync(OBJDUMP, [...args], { encoding: 'utf8', maxBuffer: 1 << 30 });
  const lines: DumpLine[] = [];
  for (const line of output.split('\n')) {
    const match = /^\s*([0-9a-f]+):\t([0-9a-f]+)\s*\t(.*)$/.exec(line);
    if (!match) continue;
    // objdump's comments ("# 1234 <name>") and symbols ("<name>") are not ours to reproduce.
    const text = match[3].replace(/#.*$/, '').replace(/<.*$/, '').trim().replace(/\t/, ' ');
    lines.push({ address: Number.parseInt(match[1], 16), raw: Number.parseInt(match[2], 16), text });
  }
  return lines;
}
