import { fstatSync, readSync } from 'node:fs';

/** Symbols of ELF files (elf(5)): which function a place in a file belongs to. For people only: what is wrong is left out. */

interface Symbol {
  readonly start: number;
  readonly end: number;
  readonly name: string;
}
interface Segment {
  readonly offset: number;
  readonly vaddr: number;
  readonly size: number;
}

const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const STT_NOTYPE = 0;
const STT_FUNC = 2;
const PT_LOAD = 1;
const LARGEST = 2 ** 30;

/** The functions of one file, by address. */
export class SymbolTable {
  private constructor(
    private readonly segments: readonly Segment[],
    private readonly symbols: readonly Symbol[],
  ) {}

  /** Reads the symbols of an open file; none when it is no ELF file or has been stripped. */
  static read(fd: number): SymbolTable {
    try {
      const size = fstatSync(fd).size;
      if (size > LARGEST) return new SymbolTable([], []);
      const bytes = Buffer.alloc(size);
      for (let at = 0; at < size; ) {
        const count = readSync(fd, bytes, at, size - at, at);
        if (count === 0) break;
        at += count;
      }
      return new SymbolTable(readSegments(bytes), readSymbols(bytes));
    } catch {
      return new SymbolTable([], []);
    }
  }

  /** The function that byte `offset` of the file is in, as `name` or `name+0x…`; undefined when there is none. */
  at(offset: number): string | undefined {
    const segment = this.segments.find((one) => offset >= one.offset && offset < one.offset + one.size);
    if (segment === undefined) return undefined;
    const address = offset - segment.offset + segment.vaddr;
    let low = 0;
    let high = this.symbols.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.symbols[middle].start <= address) low = middle + 1;
      else high = middle;
    }
    // Symbols without a size reach up to the next one.
    const symbol = this.symbols[low - 1];
    if (symbol === undefined || (symbol.end > symbol.start && address >= symbol.end)) return undefined;
    const distance = address - symbol.start;
    return distance === 0 ? symbol.name : `${symbol.name}+0x${distance.toString(16)}`;
  }
}

function readSegments(bytes: Buffer): Segment[] {
  const first = Number(bytes.readBigUInt64LE(32));
  const size = bytes.readUInt16LE(54);
  const segments: Segment[] = [];
  for (let i = 0; i < bytes.readUInt16LE(56); i++) {
    const at = first + i * size;
    if (bytes.readUInt32LE(at) !== PT_LOAD) continue;
    const [offset, vaddr, length] = [8, 16, 32].map((field) => Number(bytes.readBigUInt64LE(at + field)));
    segments.push({ offset, vaddr, size: length });
  }
  return segments;
}

function readSymbols(bytes: Buffer): Symbol[] {
  const first = Number(bytes.readBigUInt64LE(40));
  const size = bytes.readUInt16LE(58);
  const sections = Array.from({ length: bytes.readUInt16LE(60) }, (_, i) => {
    const at = first + i * size;
    return {
      type: bytes.readUInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      bytes: Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
    };
  });
  const table =
    sections.find(({ type }) => type === SHT_SYMTAB) ?? sections.find(({ type }) => type === SHT_DYNSYM);
  if (table === undefined) return [];
  const strings = sections[table.link].offset;
  const symbols: Symbol[] = [];
  for (let at = table.offset; at + 24 <= table.offset + table.bytes; at += 24) {
    const type = bytes[at + 4] & 15;
    const start = Number(bytes.readBigUInt64LE(at + 8));
    if ((type !== STT_FUNC && type !== STT_NOTYPE) || bytes.readUInt16LE(at + 6) === 0) continue;
    const from = strings + bytes.readUInt32LE(at);
    const name = bytes.toString('latin1', from, bytes.indexOf(0, from));
    // Mapping symbols and local labels name nothing.
    if (name === '' || name.startsWith('$') || name.startsWith('.L')) continue;
    symbols.push({ start, end: start + Number(bytes.readBigUInt64LE(at + 16)), name });
  }
  return symbols.sort((a, b) => a.start - b.start || a.end - b.end);
}
