import { floatingPointHelpers } from '../isa/floatingPointHelpers.js';
import { monotonicNow } from '../sync/park.js';
import { CodePage } from '../sync/records/codePage.js';
import { EXIT_ECALL, EXIT_ILLEGAL, Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { EXIT_BUDGET } from './exitBudget.js';

/** Runs guest threads; what kernel/ knows of an engine. */
export interface Interpreter {
  /**
   * Runs guest code of the Thread record `thread` (in GUEST mode) from its pc until something must be done outside, and
   * returns EXIT_* (sync/records/thread). Thread.pc and Thread.instret are exact then.
   */
  run(thread: number): number;
  /** What translated code goes to other regions through, by name; see regionTransfers.ts. */
  readonly transfers: Readonly<Record<string, WebAssembly.ExportValue>>;
}

/** Ticks of the time CSR a millisecond: 10 MHz, as the device trees of common boards have it. */
const TICKS_PER_MILLISECOND = 10_000;

/**
 * V8 compiles `run` twice, and puts the better code in place only between calls. While that is under way run returns
 * every QUICK instructions, later on every STEADY.
 */
const QUICK = 100_000;
const STEADY = 4_000_000;
const QUICK_RUNS = 300;

/** A worker's link between the interpreter and what is above it. */
export interface InstantiateOptions {
  /** The table of translated regions. */
  readonly regions?: WebAssembly.Table;
  /** The clock behind the time CSR, in milliseconds. */
  readonly now?: () => number;
  /**
   * Makes the system call of the Thread record, whose pc is at the ecall: 0, with the result in the registers, when the thread is
   * to go on behind it; otherwise what `run` is to return, EXIT_ECALL for a call that is left to the kernel.
   */
  readonly systemCall?: (thread: number) => number;
  /** Is told that the place at `pc` has become hot in regions of the first tier. */
  readonly hot?: (thread: number, pc: number) => void;
}

/** Makes an interpreter over `mem` from the compiled module. One per worker; state lives in the Thread records. */
export function instantiateInterpreter(
  mem: SharedMemory,
  module: WebAssembly.Module,
  options: InstantiateOptions = {},
): Interpreter {
  const now = options.now ?? monotonicNow;
  const regions = options.regions ?? new WebAssembly.Table({ element: 'anyfunc', initial: 0 });
  const systemCall = options.systemCall ?? (() => EXIT_ECALL);
  const hot = options.hot ?? (() => {});
  const time = () => Math.floor(now() * TICKS_PER_MILLISECOND);
  const instance = new WebAssembly.Instance(module, engineImports(mem, { regions, time, systemCall, hot }));
  const runOnce = instance.exports.run as (thread: number, budget: number) => number;
  let quickRuns = QUICK_RUNS;
  return {
    transfers: instance.exports,
    run(thread: number): number {
      for (;;) {
        const exit = runOnce(thread, quickRuns > 0 ? QUICK : STEADY);
        if (exit !== EXIT_BUDGET) {
          if (exit === EXIT_ILLEGAL && mem.getU32(thread + Thread.exitSize) === 0) fetchWord(mem, thread);
          return exit;
        }
        if (quickRuns > 0) quickRuns--;
      }
    },
  };
}

/** What the interpreter's module and those of translated code import. */
export function engineImports(
  mem: SharedMemory,
  engine: Record<string, WebAssembly.ImportValue | undefined>,
): WebAssembly.Imports {
  return {
    engine: { memory: mem.wasm, ...(engine as Record<string, WebAssembly.ImportValue>) },
    helpers: { ...floatingPointHelpers() },
  };
}

/** Fills in exitAddress where an instruction that decoded well turned out illegal as it ran (a reserved frm). */
function fetchWord(mem: SharedMemory, thread: number): void {
  const codeTable = mem.getU32(thread + Thread.codeTable);
  const half = (address: number): number => {
    const codePage = mem.getU32(codeTable + Math.floor(address / 4096) * 4);
    return codePage === 0 ? 0 : mem.u16[(mem.getU32(codePage + CodePage.source) + (address % 4096)) >>> 1];
  };
  const pc = mem.getU64(thread + Thread.pc);
  mem.set64(thread + Thread.exitAddress, half(pc) + half(pc + 2) * 0x1_0000);
  mem.setU32(thread + Thread.exitSize, 4);
}
