import type { Instruction } from '../../src/isa/instruction.js';
import { INSTRUCTIONS, instructionNamed } from '../../src/isa/instructions.js';
import { encodeImmediate } from '../isa/differentialPrograms.js';
import type { RandomBits } from '../isa/floatVectors.js';

/**
 * Random programs that become hot: loops in loops, branches over a few instructions, calls, accesses of memory that are
 * aligned, misaligned, across pages and to nowhere, all of integer and floating-point arithmetic. Functions call each other and
 * themselves, directly and through a register, and may return past their caller. They end by ebreak.
 */

/** Registers that programs compute with, and those that they keep for themselves. */
const VALUES = [5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 28, 29, 30, 31];
export const BASES = [2, 8, 9];
const COUNTERS = [18, 19];
/** Where calls through a register go, a stack for return addresses, recursions left, and a return address kept aside. */
const FUNCTION = 20;
export const STACK = 21;
const RECURSIONS = 22;
const KEPT = 23;
/** How far some bases are moved at once. */
export const STRIDE = 24;
const RA = 1;

const LEFT_OUT =
  /:time$|^(ecall|ebreak|fence\.i|auipc|jal|jalr|b\w+|[ls][bhwd]u?|f[ls][hwd]|cbo\..*|lr\..*|sc\..*|amo.*)$/;
const ARITHMETIC = INSTRUCTIONS.filter((row) => !LEFT_OUT.test(row.mnemonic));
const LOADS = INSTRUCTIONS.filter((row) => /^([l][bhwd]u?|fl[hwd])$/.test(row.mnemonic));
const STORES = INSTRUCTIONS.filter((row) => /^([s][bhwd]|fs[hwd]|cbo\.zero|cbo\.clean)$/.test(row.mnemonic));
const ATOMICS = INSTRUCTIONS.filter((row) => /^(lr|sc|amo)/.test(row.mnemonic));
const BRANCHES = INSTRUCTIONS.filter((row) => row.flow === 'branch');
const ADDI = instructionNamed('addi');
const ADD = instructionNamed('add');
const SUB = instructionNamed('sub');
const AUIPC = instructionNamed('auipc');
const LD = instructionNamed('ld');
const SD = instructionNamed('sd');
const BEQ = instructionNamed('beq');
const JAL = instructionNamed('jal');
const JALR = instructionNamed('jalr');
const BNE = instructionNamed('bne');

/** An instruction to be placed: two or four bytes, known once the places of all are. */
interface Item {
  readonly length: 2 | 4;
  /** Index of the item it jumps to, if it does. */
  readonly target?: number;
  word(distance: number): number;
}

interface Fields {
  readonly rd?: number;
  readonly rs1?: number;
  readonly rs2?: number;
  readonly rs3?: number;
  readonly rm?: number;
}

function encode(
  row: Instruction,
  { rd = 0, rs1 = 0, rs2 = 0, rs3 = 0, rm = 0 }: Fields,
  immediate = 0,
): number {
  return (
    (row.match |
      (row.usesRd ? rd << 7 : 0) |
      (row.usesRs1 ? rs1 << 15 : 0) |
      (row.usesRs2 ? rs2 << 20 : 0) |
      (row.usesRs3 ? rs3 << 27 : 0) |
      (row.usesRm ? rm << 12 : 0) |
      encodeImmediate(row.immediate, immediate)) >>>
    0
  );
}

class ProgramWriter {
  readonly items: Item[] = [];

  constructor(private readonly random: RandomBits) {}

  fixed(word: number, length: 2 | 4 = 4): void {
    this.items.push({ length, word: () => word });
  }
  /** A jump to item `target`; `patch` sets it later. */
  jump(row: Instruction, fields: Fields, target = -1): { patch(target: number): void } {
    const item = { length: 4 as const, target, word: (distance: number) => encode(row, fields, distance) };
    this.items.push(item);
    return {
      patch: (to) => {
        item.target = to;
      },
    };
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.random.below(from.length)];
  }

  #arithmetic(): void {
    const { random } = this;
    if (random.below(8) === 0) {
      // c.addi: puts what follows at odd halfwords.
      const rd = this.#pick(VALUES);
      this.fixed(0x0001 | (rd << 7) | ((1 + random.below(30)) << 2), 2);
      return;
    }
    const row = this.#pick(ARITHMETIC);
    const integer = (letter: string): boolean => row.operands.includes(letter);
    const register = (isInteger: boolean): number =>
      isInteger ? this.#pick([0, ...VALUES]) : random.below(32);
    const immediates = { I: 4096, shift6: 64, shift5: 32, csrImmediate: 32, U: 2 ** 20 } as Record<
      string,
      number
    >;
    const range = immediates[row.immediate];
    let immediate = range === undefined ? 0 : random.below(range);
    if (row.immediate === 'I') immediate -= 2048;
    if (row.immediate === 'U') immediate = (immediate << 12) | 0;
    const fields = {
      rd: register(integer('d')),
      rs1: register(integer('s')),
      rs2: register(integer('t')),
      rs3: register(false),
      rm: this.#pick([0, 0, 0, 7, 7, 7, 1, 2, 3, 4]),
    };
    // A reserved rounding mode would make most of the rest illegal.
    if (/:(frm|fcsr)$/.test(row.mnemonic) && random.below(4) !== 0) return;
    this.fixed(encode(row, fields, immediate));
  }

  #access(): void {
    const { random } = this;
    const rs1 = this.#pick(BASES);
    if (random.below(10) === 0) {
      const row = this.#pick(ATOMICS);
      this.fixed(encode(row, { rd: this.#pick([0, ...VALUES]), rs1, rs2: this.#pick(VALUES) }));
      return;
    }
    const row = this.#pick(random.below(2) === 0 ? LOADS : STORES);
    const float = row.mnemonic.startsWith('f');
    const value = float ? random.below(32) : this.#pick([0, ...VALUES]);
    const immediate = random.below(12) === 0 ? random.below(4096) - 2048 : random.below(16) * 8;
    const fields = row.usesRd ? { rd: value, rs1 } : { rs1, rs2: value };
    this.fixed(encode(row, fields, immediate));
  }

  straight(count: number): void {
    for (let i = 0; i < count; i++) {
      if (this.random.below(3) === 0) this.#access();
      else this.#arithmetic();
    }
  }

  /** Instructions with branches over some of them, and moves of a base register. */
  body(count: number): void {
    const { random } = this;
    for (let done = 0; done < count; ) {
      const some = 1 + random.below(6);
      if (random.below(3) === 0) {
        const skip = this.jump(this.#pick(BRANCHES), {
          rs1: this.#pick(VALUES),
          rs2: this.#pick([0, ...VALUES]),
        });
        this.straight(some);
        skip.patch(this.items.length);
      } else if (random.below(8) === 0) {
        const base = this.#pick(BASES);
        const step = this.#pick([8, 16, -16, 4, -8]);
        if (random.below(4) === 0)
          this.fixed(encode(this.#pick([ADD, SUB]), { rd: base, rs1: base, rs2: STRIDE }));
        else this.fixed(encode(ADDI, { rd: base, rs1: base }, step));
      } else this.straight(some);
      done += some;
    }
  }

  /** A call of what `patch` says, directly or through a register. */
  call(): { patch(target: number): void } {
    if (this.random.below(3) > 0) return this.jump(JAL, { rd: RA });
    this.fixed(encode(AUIPC, { rd: FUNCTION }));
    const item = {
      length: 4 as const,
      target: -1,
      word: (distance: number) => encode(ADDI, { rd: FUNCTION, rs1: FUNCTION }, distance + 4),
    };
    this.items.push(item);
    this.fixed(encode(JALR, { rd: RA, rs1: FUNCTION }));
    return {
      patch: (to) => {
        item.target = to;
      },
    };
  }

  return(): void {
    // The lowest bit of an address to return to does not count.
    if (this.random.below(4) === 0) this.fixed(encode(ADDI, { rd: RA, rs1: RA }, 1));
    this.fixed(encode(JALR, { rd: 0, rs1: RA }));
  }

  /** A function that keeps its return address on the stack while `body` is done. */
  framed(body: () => void): void {
    this.fixed(encode(ADDI, { rd: STACK, rs1: STACK }, -16));
    this.fixed(encode(SD, { rs1: STACK, rs2: RA }));
    body();
    this.fixed(encode(LD, { rd: RA, rs1: STACK }));
    this.fixed(encode(ADDI, { rd: STACK, rs1: STACK }, 16));
    this.return();
  }

  /** `times` rounds of a body, counted down in a register. */
  loop(counter: number, times: number, body: () => void): void {
    this.fixed(encode(ADDI, { rd: counter, rs1: 0 }, times));
    const start = this.items.length;
    body();
    this.fixed(encode(ADDI, { rd: counter, rs1: counter }, -1));
    this.jump(BNE, { rs1: counter, rs2: 0 }, start);
  }

  bytes(): Uint8Array {
    const places: number[] = [];
    let at = 0;
    for (const { length } of this.items) {
      places.push(at);
      at += length;
    }
    places.push(at);
    const bytes = new Uint8Array(at);
    const view = new DataView(bytes.buffer);
    this.items.forEach((item, i) => {
      const word = item.word(item.target === undefined ? 0 : places[item.target] - places[i]);
      if (item.length === 2) view.setUint16(places[i], word, true);
      else view.setUint32(places[i], word, true);
    });
    return bytes;
  }
}

/** A program of some `size` instructions, as bytes. */
export function randomProgram(random: RandomBits, size: number): Uint8Array {
  const writer = new ProgramWriter(random);
  const [outer, inner] = COUNTERS;
  const calls: { patch(target: number): void }[] = [];
  const piece = (): void => {
    writer.body(4 + random.below(size / 4));
    if (random.below(2) === 0) {
      if (random.below(2) === 0) writer.fixed(encode(ADDI, { rd: RECURSIONS, rs1: 0 }, random.below(6)));
      calls.push(writer.call());
    }
  };
  writer.loop(outer, 3 + random.below(6), () => {
    piece();
    if (random.below(3) > 0) writer.loop(inner, 2 + random.below(12), piece);
    piece();
  });
  writer.fixed(0x0010_0073);

  // Leaf functions; one of them returns to the caller of its caller now and then.
  const functions: number[] = [];
  const leaf = (): void => {
    functions.push(writer.items.length);
    writer.body(random.below(2) === 0 ? 3 + random.below(6) : 30 + random.below(30));
    writer.return();
  };
  leaf();
  leaf();
  const far = writer.items.length;
  const stays = writer.jump(BEQ, {
    rs1: VALUES[random.below(VALUES.length)],
    rs2: VALUES[random.below(VALUES.length)],
  });
  writer.fixed(encode(ADDI, { rd: STACK, rs1: STACK }, 16));
  writer.fixed(encode(ADDI, { rd: RA, rs1: KEPT }));
  stays.patch(writer.items.length);
  writer.return();

  const inside: { patch(target: number): void }[] = [];
  functions.push(writer.items.length);
  writer.framed(() => {
    writer.body(3 + random.below(8));
    inside.push(writer.call(), writer.call());
    writer.body(3);
  });
  functions.push(writer.items.length);
  writer.framed(() => {
    writer.fixed(encode(ADDI, { rd: KEPT, rs1: RA }));
    writer.call().patch(far);
    writer.body(2 + random.below(4));
  });
  const recursive = writer.items.length;
  functions.push(recursive);
  writer.framed(() => {
    const ends = writer.jump(BEQ, { rs1: RECURSIONS, rs2: 0 });
    writer.fixed(encode(ADDI, { rd: RECURSIONS, rs1: RECURSIONS }, -1));
    writer.call().patch(recursive);
    writer.body(2 + random.below(4));
    if (random.below(2) === 0) writer.call().patch(recursive);
    ends.patch(writer.items.length);
  });
  for (const call of inside) call.patch(functions[random.below(2)]);
  for (const call of calls) call.patch(functions[random.below(functions.length)]);
  return writer.bytes();
}
