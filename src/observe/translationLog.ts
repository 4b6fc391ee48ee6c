import { disassemble } from '../isa/disassembler.js';
import type { PlacedRegion, TranslationListener } from '../jit/translator.js';
import { type MappingSnapshot, snapshotMapping } from '../memory/mappingTree.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { HostFile } from '../sync/records/hostFile.js';
import { Mm } from '../sync/records/mm.js';
import { LOG_IN_ASM, LOG_OUT_WASM, RegionProfile, Translation } from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { allocateText } from '../sync/text.js';
import { translationOf } from '../sync/translationQueue.js';
import { writeLog } from './log.js';
import { SymbolTable } from './symbols.js';

/**
 * What the translator's worker says about regions: `-d in_asm` and `-d out_wasm`, and the names in RegionProfile. Undefined
 * when nobody wants to know.
 */
export function translationLog(mem: SharedMemory, owner: number): TranslationListener | undefined {
  const translation = translationOf(mem);
  const profiles = mem.getU32(translation + Translation.profile);
  if (profiles === 0) return undefined;
  const logged = mem.getU32(translation + Translation.logged);
  const names = new Names(mem);
  return {
    translated(first, regions, bytes) {
      regions.forEach((placed, i) => {
        const name = names.of(placed);
        note(mem, profiles + (first + i) * RegionProfile.SIZE, placed, name, owner);
        if (logged & LOG_IN_ASM) writeLog(mem, guestCode(placed, first + i, name));
      });
      if (logged & LOG_OUT_WASM) writeLog(mem, moduleText(first, regions.length, bytes));
    },
  };
}

/** Fills in what is constant of a RegionProfile. */
function note(
  mem: SharedMemory,
  profile: number,
  { region }: PlacedRegion,
  name: string,
  owner: number,
): void {
  const instructions = region.blocks.flatMap((block) => block.instructions);
  mem.set64(profile + RegionProfile.pc, region.entry.pc);
  mem.set64(profile + RegionProfile.lowest, Math.min(...instructions.map(({ pc }) => pc)));
  const end = Math.max(...instructions.map(({ pc, decoded }) => pc + decoded.length));
  mem.set64(profile + RegionProfile.end, end);
  mem.setU32(profile + RegionProfile.instructions, region.size);
  try {
    mem.setU32(profile + RegionProfile.name, allocateText(mem, name, owner));
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
  }
}

/** The guest's code, block by block, as -d in_asm of QEMU shows it. */
function guestCode({ region }: PlacedRegion, index: number, name: string): string {
  const lines = ['----------------', `IN: ${name === '' ? '?' : name} (region ${index})`];
  for (const block of region.blocks) {
    if (block.calls !== undefined)
      lines.push(`  inlined, to return to 0x${block.calls.returnPc.toString(16)}:`);
    for (const { pc, decoded } of block.instructions) {
      const word = decoded.raw
        .toString(16)
        .padStart(decoded.length * 2, '0')
        .padEnd(8);
      lines.push(`0x${pc.toString(16).padStart(8, '0')}:  ${word}          ${disassemble(decoded.raw, pc)}`);
    }
    lines.push('');
  }
  return `${lines.join('\n')}\n`;
}

/** A module in hexadecimal: `xxd -r -p` makes a file of the lines that begin with no letter beyond f. */
function moduleText(first: number, count: number, bytes: Uint8Array): string {
  const lines = [`OUT: regions ${first} to ${first + count - 1}: [size=${bytes.length}]`];
  for (let at = 0; at < bytes.length; at += 32)
    lines.push(
      Buffer.from(bytes.buffer, bytes.byteOffset + at, Math.min(32, bytes.length - at)).toString('hex'),
    );
  return `${lines.join('\n')}\n\n`;
}

/** Finds out what regions are called: the symbol of their entry, and the file. */
class Names {
  private readonly tables = new Map<string, SymbolTable>();
  private readonly mapping: MappingSnapshot = {
    start: 0,
    end: 0,
    prot: 0,
    flags: 0,
    file: 0,
    object: 0,
    offset: 0,
  };

  constructor(private readonly mem: SharedMemory) {}

  of({ place, codeTable, region: { entry } }: PlacedRegion): string {
    const { mem, mapping } = this;
    const { mm } = place;
    // The address space may be gone. What is read of another one in its place would be a wrong name, and no more.
    if (mm === 0 || mem.getU32(mm + Mm.codeTable) !== codeTable) return '';
    if (!snapshotMapping(mem, mm, Math.floor(entry.pc / 4096), mapping)) return '';
    const { file, start, offset } = mapping;
    if (file === 0) return '[anonymous memory]';
    const from = mem.getU32(file + HostFile.path);
    const path = Buffer.from(mem.buffer, from, mem.getU32(file + HostFile.pathLength)).toString('latin1');
    const id = `${mem.getU64(file + HostFile.dev)}:${mem.getU64(file + HostFile.ino)}`;
    let table = this.tables.get(id);
    if (table === undefined) {
      table = SymbolTable.read(mem.getI32(file + HostFile.hostFd));
      this.tables.set(id, table);
    }
    const symbol = table.at(entry.pc - start * 4096 + offset * 4096);
    return symbol === undefined ? path : `${symbol} (${path})`;
  }
}
