import type { Caller } from '../memory/caller.js';
import { copyIn, UserFault } from '../memory/userAccess.js';
import { formatMaps } from '../mm/pageDump.js';
import { Mm } from '../sync/records/mm.js';
import { Thread } from '../sync/records/thread.js';
import { instructionMark } from './crashInstruction.js';

/** The signal that ended a guest. */
export interface FatalSignal {
  readonly signal: number;
  /** si_code. */
  readonly code: number;
  /** si_addr. */
  readonly address: bigint;
}

const ABI_NAMES =
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'.split(
    ' ',
  );

const REASONS: Record<string, string> = {
  '4/1': 'SIGILL: illegal instruction',
  '5/1': 'SIGTRAP: breakpoint',
  '7/1': 'SIGBUS: misaligned atomic access',
  '7/2': 'SIGBUS: beyond the end of the mapped file',
  '8/1': 'SIGFPE: integer division by zero',
  '11/1': 'SIGSEGV: nothing is mapped there',
  '11/2': 'SIGSEGV: the mapping does not allow the access',
};

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
const hex16 = (value: bigint): string => value.toString(16).padStart(16, '0');

/**
 * The report on a guest that dies of a fault: why, the instruction, the registers, and the mappings around the address; at
 * most 31 lines, the last one ended. The thread's registers are those of the faulting instruction. Where the instruction is to
 * be disassembled there is a mark (crashInstruction.ts).
 */
export function crashReport(c: Caller, fatal: FatalSignal): string {
  const { mem, thread } = c;
  const pc = mem.getU64(thread + Thread.pc);
  const reason = REASONS[`${fatal.signal}/${fatal.code}`] ?? `signal ${fatal.signal}, code ${fatal.code}`;
  const lines = [
    `guesthouse: thread ${mem.getU32(thread + Thread.tid)} died of ${reason}`,
    `  address ${hex(fatal.address)}, pc ${hex(pc)}: ${instructionAt(c, pc)}`,
  ];
  for (let row = 0; row < 8; row++) {
    const cells: string[] = [];
    for (let column = 0; column < 4; column++) {
      const register = row * 4 + column;
      const value = mem.u64[(thread + Thread.x + register * 8) >>> 3];
      cells.push(`${ABI_NAMES[register].padStart(4)} ${hex16(value)}`);
    }
    lines.push(`  ${cells.join(' ')}`);
  }
  lines.push(...mappingsAround(c, 'the address', Number(fatal.address)));
  lines.push(...mappingsAround(c, 'the pc', pc));
  return lines.map((line) => `${line}\n`).join('');
}

/** The instruction at `pc`, with a mark for its text, or why it cannot be read. */
function instructionAt(c: Caller, pc: number): string {
  const word = readHalf(c, pc);
  if (word === undefined) return 'cannot be read';
  const extensions = c.mem.getU32(c.mm + Mm.extensions);
  if ((word & 3) !== 3)
    return `${word.toString(16).padStart(4, '0')}  ${instructionMark(word, pc, extensions)}`;
  const upper = readHalf(c, pc + 2);
  if (upper === undefined) return 'cannot be read beyond its first half';
  const whole = ((upper << 16) | word) >>> 0;
  return `${whole.toString(16).padStart(8, '0')}  ${instructionMark(whole, pc, extensions)}`;
}

function readHalf(c: Caller, va: number): number | undefined {
  const bytes = new Uint8Array(2);
  try {
    copyIn(c, va, bytes);
  } catch (error) {
    if (error instanceof UserFault) return undefined;
    throw error;
  }
  return bytes[0] | (bytes[1] << 8);
}

/** The mapping that holds `va`, or that nothing does, with its neighbours. */
function mappingsAround(c: Caller, what: string, va: number): string[] {
  const maps = formatMaps(c)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [from, to] = line
        .split(' ', 1)[0]
        .split('-')
        .map((text) => Number.parseInt(text, 16));
      return { from, to, line };
    });
  const next = maps.findIndex((map) => map.to > va);
  const at = next === -1 ? maps.length : next;
  const holds = next !== -1 && maps[next].from <= va;
  const shown = maps.slice(Math.max(0, at - 1), holds ? at + 2 : at + 1);
  return [
    `  around ${what}${holds ? ':' : ', which nothing is mapped at:'}`,
    ...shown.map((map) => `  ${map.from <= va && va < map.to ? '>' : ' '} ${map.line}`),
  ];
}
