import { describe, expect, test } from 'vitest';
import { EXIT_EBREAK, EXIT_FENCE_I, Thread } from '../../src/sync/records/thread.js';
import { BareMachine } from '../interpreter/bareMachine.js';
import { CODE, DATA } from '../interpreter/runCode.js';
import { interesting, RandomBits } from '../isa/floatVectors.js';
import { BASES, randomProgram, STACK, STRIDE } from './randomPrograms.js';
import { TranslatedMachine } from './translatedMachine.js';

/** Translated code against the interpreter: the same exits in the same states, to the end. */

/** Everything that a guest can see, and what the engine says of it. */
function stateOf(machine: BareMachine): unknown {
  const { mem, thread } = machine;
  return {
    pc: machine.pc.toString(16),
    x: Array.from({ length: 31 }, (_, i) => machine.x(i + 1).toString(16)),
    f: Array.from({ length: 32 }, (_, i) => machine.f(i).toString(16)),
    fflags: mem.getU32(thread + Thread.fflags),
    frm: mem.getU32(thread + Thread.frm),
    reservation: mem.u64[(thread + Thread.reservationAddress) >>> 3],
    instret: machine.instret,
  };
}

/** A page for return addresses, which nothing else gets at. */
const RETURNS = DATA + 0x1_0000;

function prepare(machine: BareMachine, program: Uint8Array, seed: number, at: number): void {
  const random = new RandomBits(seed);
  machine.map(CODE, 0x3000, 'rx');
  // In one distance from their frames, or each in another.
  const together = random.below(2) === 0;
  machine.map(DATA, 0x3000, 'rw', together);
  // What lies behind is read only; behind that is nothing.
  machine.map(DATA + 0x3000, 0x1000, 'r', together);
  machine.write(at, program);
  for (let i = 0; i < 0x3000; i += 8) machine.write64(DATA + i, random.next());
  for (let i = 1; i < 32; i++) {
    machine.setX(i, random.next() >> BigInt(random.below(64)));
    machine.setF(i, interesting(random, 64));
  }
  const bases = [0x800, 0x1000 - 16, 0x2000 + random.below(64), 0x2fc0, 0x3fe0, 0x1ff8 + random.below(8)];
  for (const base of BASES) machine.setX(base, BigInt(DATA + bases[random.below(bases.length)]));
  machine.setX(STRIDE, BigInt(8 * (random.below(16) - 8)));
  machine.map(RETURNS, 0x1000);
  machine.setX(STACK, BigInt(RETURNS + 0x800));
  machine.mem.setU32(machine.thread + Thread.fflags, random.below(2));
  machine.pc = at;
}

/** Runs to the next exit that is not fence.i's; passes over what faulted. */
function step(machine: BareMachine): number {
  const exit = machine.run();
  return exit;
}

function runBoth(seed: number, quick: boolean): { exits: number; regions: number } {
  const random = new RandomBits(seed);
  const program = randomProgram(random, 20 + random.below(100));
  // So that some instructions straddle pages.
  const at = CODE + 0xf00 + 2 * random.below(128);
  const plain = new BareMachine();
  const translated = new TranslatedMachine({
    threshold: 1 + random.below(4),
    budget: 50 + random.below(2000),
    innerLoops: random.below(2) === 0,
    quick,
  });
  prepare(plain, program, seed, at);
  prepare(translated, program, seed, at);
  // Some page is at its home for the translated code; the others may be too.
  translated.homeEntry = translated.place(DATA + 0x1000) - (DATA + 0x1000) + 1;
  for (let exits = 1; ; exits++) {
    const exit = step(plain);
    const ours = step(translated);
    const where = `seed ${seed}, exit ${exits} at ${plain.pc.toString(16)}`;
    expect({ exit: ours, ...(stateOf(translated) as object) }, where).toEqual({
      exit,
      ...(stateOf(plain) as object),
    });
    if (exit === EXIT_EBREAK || exits > 400) {
      for (let page = 0; page < 0x4000; page += 0x1000)
        expect(translated.read(DATA + page, 0x1000), where).toEqual(plain.read(DATA + page, 0x1000));
      return { exits, regions: translated.regions.length };
    }
    if (exit === EXIT_FENCE_I) continue;
    // A fault: goes on behind the instruction. So does the one that was illegal for its rounding mode.
    const length = plain.mem.u8[plain.place(plain.pc)] % 4 === 3 ? 4 : 2;
    plain.pc += length;
    translated.pc += length;
    if (plain.mem.getU32(plain.thread + Thread.frm) > 4)
      for (const { mem, thread } of [plain, translated]) mem.setU32(thread + Thread.frm, exits % 5);
  }
}

describe.each([
  ['of the first tier', true],
  ['of the second', false],
])('random programs do in regions %s what they do in the interpreter', (_, quick) => {
  const COUNT = Number(process.env.GUESTHOUSE_TEST_PROGRAMS ?? 400);
  const GROUPS = 8;
  test.each(Array.from({ length: GROUPS }, (_, group) => group))(
    'group %i',
    (group) => {
      let regions = 0;
      for (let i = 0; i < COUNT / GROUPS; i++) regions += runBoth(group * 100_000 + i + 1, quick).regions;
      expect(regions).toBeGreaterThan(COUNT / GROUPS);
    },
    120_000,
  );
});
