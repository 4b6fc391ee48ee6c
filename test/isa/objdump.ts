import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const OBJDUMP = 'riscv64-linux-gnu-objdump';
const GCC = 'riscv64-linux-gnu-gcc';

/** Says whether the cross binutils are installed. */
export const hasObjdump = [OBJDUMP, GCC].every((tool) => spawnSync(tool, ['--version']).status === 0);

/** What binutils 2.40 knows of the extensions. */
const ARCHITECTURE = 'rv64gc_zicbom_zicbop_zicboz_zawrs_zfh_zba_zbb_zbc_zbs_zbkb_zbkc_zbkx_zknd_zkne_zknh';

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
    writeFileSync(join(folder, 'code.bin'), code);
    // Only in an ELF file do attributes say which extensions there are; an instruction first, or all counts as data.
    const source = '.option norelax\n.text\nnop\n.incbin "code.bin"\n';
    writeFileSync(join(folder, 'code.S'), source);
    const file = join(folder, 'code.o');
    execFileSync(GCC, [`-march=${ARCHITECTURE}`, '-c', 'code.S', '-o', file], { cwd: folder });
    return parse(['-D', '-j', '.text', `--adjust-vma=${base - 2}`, file]).slice(1);
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
